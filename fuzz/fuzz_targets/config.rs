//! Any text as a configuration: it is loaded, or every mistake has a place and
//! words; what was loaded can be shown, and what is shown loads to the same.
#![no_main]

use bee_trace::config::{Document, load, show};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let document = |text: &str| [Document { name: "fuzz.toml".to_owned(), text: text.to_owned() }];
    match load(&document(text)) {
        Ok(loaded) => {
            let shown = show(&loaded);
            match load(&document(&shown)) {
                Ok(again) => assert_eq!(again.config, loaded.config, "{shown}"),
                Err(problems) => panic!("what is shown does not load: {problems:?}\n{shown}"),
            }
        }
        Err(problems) => {
            assert!(!problems.is_empty());
            for problem in problems {
                assert!(problem.to_string().contains("fuzz.toml"), "{problem}");
            }
        }
    }
});
