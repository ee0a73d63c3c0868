//! Address ranges as operators write them: `10.0.0.0/24` or `10.0.0.10-10.0.0.20`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;
use std::str::FromStr;

use ipnet::IpNet;

use crate::Family;

/// An inclusive range of addresses of one family, first not after last.
///
/// Parsed as MetalLB parses an entry of `spec.addresses`: host bits of a CIDR are dropped, spaces
/// around the ends of `a-b` are allowed, an IPv4-mapped IPv6 address counts as IPv4. Unlike MetalLB, a
/// range whose ends are of different families is an error, not an empty pool.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct AddressRange {
    family: Family,
    first: u128,
    last: u128,
}

impl AddressRange {
    /// The family of every address in the range.
    #[must_use]
    pub fn family(&self) -> Family {
        self.family
    }

    /// The lowest address.
    #[must_use]
    pub fn first(&self) -> IpAddr {
        from_number(self.family, self.first)
    }

    /// The highest address.
    #[must_use]
    pub fn last(&self) -> IpAddr {
        from_number(self.family, self.last)
    }

    /// Whether `address` lies in the range.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        Family::of(address) == self.family && (self.first..=self.last).contains(&to_number(address))
    }

    /// Whether the two ranges have an address in common.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.family == other.family && self.first <= other.last && other.first <= self.last
    }

    /// What is left of this range without `others`, in ascending order.
    #[must_use]
    pub fn without<'a>(&self, others: impl IntoIterator<Item = &'a Self>) -> Vec<Self> {
        let mut left = vec![*self];
        for other in others {
            let cut = |range: Self| {
                if !range.overlaps(other) {
                    return [Some(range), None];
                }
                let below = (range.first < other.first).then(|| Self { last: other.first - 1, ..range });
                let above = (range.last > other.last).then(|| Self { first: other.last + 1, ..range });
                [below, above]
            };
            left = left.into_iter().flat_map(cut).flatten().collect();
        }
        left
    }

    /// The range of one address.
    #[must_use]
    pub fn only(address: IpAddr) -> Self {
        let address = address.to_canonical();
        let number = to_number(address);
        Self { family: Family::of(address), first: number, last: number }
    }

    /// Reads a range as [`FromStr`] does, and a single address as the range of it alone: for lists in which
    /// single addresses are usual, unlike in `spec.addresses`.
    ///
    /// # Errors
    /// The text is neither.
    pub fn parse_or_address(text: &str) -> Result<Self, RangeError> {
        match text.parse() {
            Err(RangeError { kind: RangeErrorKind::NoMask { address, .. }, .. }) => Ok(Self::only(address)),
            result => result,
        }
    }

    /// Whether it is a whole subnet that has a network address: an aligned block of at least four addresses.
    pub(crate) fn is_subnet(&self) -> bool {
        let mask = self.last - self.first;
        mask >= 3 && mask & mask.wrapping_add(1) == 0 && self.first & mask == 0
    }

    /// First and last as numbers, for interval arithmetic.
    pub(crate) fn bounds(&self) -> (u128, u128) {
        (self.first, self.last)
    }
}

/// An address as a number; IPv4 fills the low 32 bits.
pub(crate) fn to_number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// The inverse of [`to_number`]; the number must have come from an address of `family`.
pub(crate) fn from_number(family: Family, number: u128) -> IpAddr {
    match family {
        Family::V4 => {
            IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(number).expect("an IPv4 number has 32 bits")))
        }
        Family::V6 => IpAddr::V6(Ipv6Addr::from_bits(number)),
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first(), self.last())
    }
}

impl fmt::Debug for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// An address range that cannot be used: what was written, where in it the fault lies, and what is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.text())]
pub struct RangeError {
    /// The text as it was written.
    pub input: String,
    /// The faulty part of `input`, in bytes.
    pub span: Range<usize>,
    /// What is wrong with it.
    pub kind: RangeErrorKind,
}

impl RangeError {
    /// What was written, unless what is wrong says that already, and what is wrong with it.
    fn text(&self) -> String {
        match &self.kind {
            RangeErrorKind::NotAnAddress { found, .. } if *found == self.input => self.kind.to_string(),
            kind => format!("{:?}: {kind}", self.input),
        }
    }
}

/// What is wrong with an address range, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RangeErrorKind {
    /// Nothing was written.
    #[error("is empty; write a CIDR (10.0.0.0/24) or a range (10.0.0.10-10.0.0.20)")]
    Empty,
    /// One address, neither a CIDR nor a range.
    #[error("is a single address; write {address}/{bits}")]
    NoMask {
        /// The address as written.
        address: IpAddr,
        /// The prefix length that names this one address: 32 or 128.
        bits: u8,
    },
    /// The text before `/` or beside `-` is no address.
    #[error("{found:?} is not an IP address{hint}")]
    NotAnAddress {
        /// The offending part.
        found: String,
        /// What probably happened, or nothing.
        hint: &'static str,
    },
    /// The text after `/` is no prefix length.
    #[error("{found:?} is not a prefix length of {family}; it goes from 0 to {most}")]
    PrefixLength {
        /// The offending part.
        found: String,
        /// The family of the address before it.
        family: Family,
        /// 32 or 128.
        most: u8,
    },
    /// Spaces where MetalLB allows none.
    #[error("has spaces in a CIDR; write it without them")]
    Spaces,
    /// More than one dash.
    #[error("has more than one dash; write first-last")]
    TwoDashes,
    /// The ends belong to different families.
    #[error("starts in {first} and ends in {last}; both ends must be of one family")]
    MixedFamilies {
        /// Family of the first address.
        first: Family,
        /// Family of the last address.
        last: Family,
    },
    /// The last address comes before the first.
    #[error("ends at {last}, before its start {first}; write the lower address first")]
    Backwards {
        /// The start as written.
        first: IpAddr,
        /// The end as written.
        last: IpAddr,
    },
}

impl FromStr for AddressRange {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = |span: Range<usize>, kind| RangeError { input: text.to_owned(), span, kind };
        if text.trim().is_empty() {
            return Err(fail(0..text.len(), RangeErrorKind::Empty));
        }
        if let Some(dash) = text.find('-') {
            return parse_dashed(text, dash);
        }
        let Some(slash) = text.find('/') else {
            let address = parse_address(text, 0..text.len())?.to_canonical();
            let bits = if address.is_ipv4() { 32 } else { 128 };
            return Err(fail(0..text.len(), RangeErrorKind::NoMask { address, bits }));
        };
        if text.contains(char::is_whitespace) {
            return Err(fail(0..text.len(), RangeErrorKind::Spaces));
        }
        let address = parse_bare(text, 0..slash)?;
        let most: u8 = if address.is_ipv4() { 32 } else { 128 };
        let digits = &text[slash + 1..];
        let prefix = Some(digits)
            .filter(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|digits| digits.parse::<u8>().ok())
            .filter(|prefix| *prefix <= most)
            .ok_or_else(|| {
                let kind = RangeErrorKind::PrefixLength {
                    found: digits.to_owned(),
                    family: Family::of(address),
                    most,
                };
                fail(slash + 1..text.len(), kind)
            })?;
        let net = IpNet::new(address, prefix).expect("the prefix length was checked").trunc();
        Ok(between(net.network(), net.broadcast()))
    }
}

fn parse_dashed(text: &str, dash: usize) -> Result<AddressRange, RangeError> {
    let fail = |kind| RangeError { input: text.to_owned(), span: 0..text.len(), kind };
    if text[dash + 1..].contains('-') {
        return Err(fail(RangeErrorKind::TwoDashes));
    }
    let first = parse_address(text, 0..dash)?;
    let last = parse_address(text, dash + 1..text.len())?;
    let (first, last) = as_one_family(first, last);
    match (Family::of(first), Family::of(last)) {
        (first, last) if first != last => Err(fail(RangeErrorKind::MixedFamilies { first, last })),
        _ if last < first => Err(fail(RangeErrorKind::Backwards { first, last })),
        _ => Ok(between(first, last)),
    }
}

/// Mapped addresses as the IPv4 addresses they carry, unless only one is: `::ffff:0:0/95` reaches beyond the
/// mapped block and stays IPv6.
fn as_one_family(first: IpAddr, last: IpAddr) -> (IpAddr, IpAddr) {
    let (mapped_first, mapped_last) = (first.to_canonical(), last.to_canonical());
    if mapped_first.is_ipv4() == mapped_last.is_ipv4() { (mapped_first, mapped_last) } else { (first, last) }
}

/// The range between two addresses of one family.
fn between(first: IpAddr, last: IpAddr) -> AddressRange {
    let (first, last) = as_one_family(first, last);
    AddressRange { family: Family::of(first), first: to_number(first), last: to_number(last) }
}

/// One end of `a-b`: spaces around it are allowed.
fn parse_address(text: &str, span: Range<usize>) -> Result<IpAddr, RangeError> {
    let part = &text[span.clone()];
    let start = span.start + (part.len() - part.trim_start().len());
    parse_bare(text, start..start + part.trim().len())
}

fn parse_bare(text: &str, span: Range<usize>) -> Result<IpAddr, RangeError> {
    let part = &text[span.clone()];
    part.parse().map_err(|_| {
        let leading_zero = part.split('.').count() == 4
            && part.split('.').any(|octet| octet.len() > 1 && octet.starts_with('0'));
        let hint = if part.contains('%') {
            "; a zone has no meaning here"
        } else if leading_zero {
            "; an octet must not start with 0"
        } else {
            ""
        };
        let kind = RangeErrorKind::NotAnAddress { found: part.to_owned(), hint };
        RangeError { input: text.to_owned(), span, kind }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_metallb_accepts_is_accepted() {
        for (text, expected) in [
            ("192.168.3.251-192.168.3.254", "192.168.3.251-192.168.3.254"),
            ("10.0.0.5/24", "10.0.0.0-10.0.0.255"),
            (" 10.0.0.1 - 10.0.0.3 ", "10.0.0.1-10.0.0.3"),
            ("0.0.0.0/0", "0.0.0.0-255.255.255.255"),
            ("255.255.255.255/32", "255.255.255.255-255.255.255.255"),
            ("fd00::/126", "fd00::-fd00::3"),
            ("::/0", "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("::ffff:10.0.0.1-::ffff:10.0.0.2", "10.0.0.1-10.0.0.2"),
            ("::ffff:10.0.0.0/120", "10.0.0.0-10.0.0.255"),
        ] {
            assert_eq!(text.parse::<AddressRange>().expect(text).to_string(), expected, "{text}");
        }
    }

    #[test]
    fn what_others_have_is_cut_out() {
        let range = |text: &str| text.parse::<AddressRange>().unwrap();
        for (of, others, left) in [
            ("10.0.0.0/24", vec![], vec!["10.0.0.0-10.0.0.255"]),
            ("10.0.0.0/24", vec!["10.0.1.0/24", "fd00::/64"], vec!["10.0.0.0-10.0.0.255"]),
            ("10.0.0.0/24", vec!["10.0.0.0/16"], vec![]),
            ("10.0.0.0/24", vec!["10.0.0.0/25"], vec!["10.0.0.128-10.0.0.255"]),
            (
                "10.0.0.0/24",
                vec!["10.0.0.200-10.0.1.9", "10.0.0.4/32", "10.0.0.0/32"],
                vec!["10.0.0.1-10.0.0.3", "10.0.0.5-10.0.0.199"],
            ),
            (
                "::/0",
                vec!["::/128", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"],
                vec!["::1-ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe"],
            ),
            ("0.0.0.0/0", vec!["255.255.255.255/32", "0.0.0.0/1"], vec!["128.0.0.0-255.255.255.254"]),
        ] {
            let others: Vec<AddressRange> = others.into_iter().map(range).collect();
            let cut: Vec<String> = range(of).without(&others).iter().map(ToString::to_string).collect();
            assert_eq!(cut, left, "{of}");
        }
    }

    #[test]
    fn errors_name_the_faulty_part_and_the_cure() {
        for (text, span, message) in [
            ("", 0..0, r#""": is empty; write a CIDR (10.0.0.0/24) or a range (10.0.0.10-10.0.0.20)"#),
            ("10.0.0.1", 0..8, r#""10.0.0.1": is a single address; write 10.0.0.1/32"#),
            (
                "10.0.0.0/33",
                9..11,
                r#""10.0.0.0/33": "33" is not a prefix length of IPv4; it goes from 0 to 32"#,
            ),
            ("10.0.0/24", 0..6, r#""10.0.0/24": "10.0.0" is not an IP address"#),
            (" 10.0.0.0/24", 0..12, r#"" 10.0.0.0/24": has spaces in a CIDR; write it without them"#),
            (
                "10.0.0.9-10.0.0.1",
                0..17,
                r#""10.0.0.9-10.0.0.1": ends at 10.0.0.1, before its start 10.0.0.9; write the lower address first"#,
            ),
            (
                "1.2.3.4-1000::",
                0..14,
                r#""1.2.3.4-1000::": starts in IPv4 and ends in IPv6; both ends must be of one family"#,
            ),
            (
                "10.0.0.1-10.0.0.2-10.0.0.3",
                0..26,
                r#""10.0.0.1-10.0.0.2-10.0.0.3": has more than one dash; write first-last"#,
            ),
            ("10.0.0.1 - 10.0.0.x", 11..19, r#""10.0.0.1 - 10.0.0.x": "10.0.0.x" is not an IP address"#),
            (
                "10.0.0.01/32",
                0..9,
                r#""10.0.0.01/32": "10.0.0.01" is not an IP address; an octet must not start with 0"#,
            ),
            (
                "fe80::1%eth0-fe80::2",
                0..12,
                r#""fe80::1%eth0-fe80::2": "fe80::1%eth0" is not an IP address; a zone has no meaning here"#,
            ),
        ] {
            let error = text.parse::<AddressRange>().expect_err(text);
            assert_eq!(error.to_string(), message);
            assert_eq!(error.span, span, "{text}");
        }
    }
}
