//! Any bytes as a message between the daemon and its scanner, which do not trust
//! each other: what is accepted means the same when it is written again.
#![no_main]

use bee_trace::scanner::{Answer, Request};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(answer) = Answer::decode(bytes) {
        assert_eq!(Answer::decode(&answer.encode()).as_ref(), Ok(&answer));
    }
    if let Ok(request) = Request::decode(bytes) {
        let again = request.encode().expect("what fits once fits again");
        assert_eq!(Request::decode(&again), Ok(request));
    }
});
