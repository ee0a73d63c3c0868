//! The fuzzer's entry to [`fuzz::config_map`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::config_map::check(data));
