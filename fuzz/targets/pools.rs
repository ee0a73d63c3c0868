//! The fuzzer's entry to [`fuzz::pools`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::pools::check(data));
