//! The fuzzer's entry to [`fuzz::echo`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::echo::check(data));
