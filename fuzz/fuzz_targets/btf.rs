//! Any bytes as the BTF of a kernel: an error, or a small BTF in which our objects
//! find what they find in it.
#![no_main]

use bee_trace::btf;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|source: &[u8]| {
    let Ok(small) = btf::minimise(source, btf::needs()) else { return };
    let Ok(whole) = btf::offsets(source, btf::needs()) else { return };
    let part = btf::offsets(&small, btf::needs()).expect("what was written is read");
    assert_eq!(part, whole);
});
