//! Any bytes as a request on the control socket, and as a message of a daemon: read or refused in
//! words; what is read means the same when it is written again.
#![no_main]

use bee_trace::control::filter::Filter;
use bee_trace::control::protocol::{Answer, Request};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    match Request::parse(bytes) {
        Ok(request) => {
            assert_eq!(Request::parse(&request.encode()), Ok(request.clone()));
            if let Request::Watch(watch) = &request
                && let Err(why) = Filter::new(watch)
            {
                assert!(!why.is_empty());
            }
        }
        Err(why) => assert!(!why.is_empty()),
    }
    if let Ok((answer, rest)) = Answer::parse(bytes) {
        let mut again = answer.encode();
        again.extend(rest);
        match Answer::parse(&again) {
            Ok((same, same_rest)) => {
                assert_eq!(same_rest, rest);
                // Numbers with a fraction need not come back to the last digit.
                if !matches!(answer, Answer::Status(_)) {
                    assert_eq!(same, answer);
                }
            }
            Err(why) => panic!("{why}"),
        }
    }
});
