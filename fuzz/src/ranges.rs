//! Address ranges: `lbcore::AddressRange`.

use lbcore::{AddressRange, Family};

/// Reads the input as one range.
pub fn check(data: &[u8]) {
    let text = crate::text(data);
    match text.parse::<AddressRange>() {
        Ok(range) => check_range(&range),
        Err(error) => {
            assert_eq!(error.input, text);
            assert!(text.get(error.span.clone()).is_some(), "{:?} of {text:?}", error.span);
            assert!(!error.to_string().is_empty());
        }
    }
}

/// What must hold of every range that was read.
pub(crate) fn check_range(range: &AddressRange) {
    let (first, last) = (range.first(), range.last());
    assert!(first <= last, "{range}");
    assert!([first, last].iter().all(|end| Family::of(*end) == range.family()), "{range}");
    assert!(range.contains(first) && range.contains(last), "{range}");
    assert!(range.overlaps(range), "{range}");
    let again = range.to_string().parse::<AddressRange>();
    assert_eq!(again.as_ref(), Ok(range), "what is printed is read differently");
}
