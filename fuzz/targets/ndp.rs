//! The fuzzer's entry to [`fuzz::ndp`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::ndp::check(data));
