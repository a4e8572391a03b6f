//! Any bytes as a tracepoint's format: what is accepted lies inside a record.
#![no_main]

use bee_trace::kernel::tracefs;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let Ok(format) = tracefs::parse(text) else { return };
    for field in &format.fields {
        let end = field.offset.checked_add(field.size).expect("the end of a field fits");
        assert!(end <= 64 << 10, "{} lies outside of any record", field.name);
        assert!(format.field(&field.name).is_some());
    }
});
