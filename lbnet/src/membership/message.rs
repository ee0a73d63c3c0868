//! What members say to each other: one datagram, as bytes.
//!
//! Every datagram is to one member, and begins with what keeps the rest honest: whom it is from and to, what its sender
//! has heard of the receiver last, and which versions of both tables the sender has. So whatever is said, heartbeats
//! first of all, also tells who lags behind.

use serde::{Deserialize, Serialize};

/// A process, from its start to its end: drawn at random when it starts, and never 0.
pub type Session = u64;

/// The version of a table, and the hash of what is in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Counts the changes of one process; 0 before there is anything.
    pub version: u64,
    /// Of all records ([`super::table::hash`]).
    pub hash: u64,
}

/// A datagram. Its sender's session and its number travel outside of it: they make the nonce by which it is sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Datagram<'a> {
    /// The sender's name.
    pub from: &'a str,
    /// The receiver's process as the sender knows it; 0 if it does not.
    pub to: Session,
    /// The highest number that the sender has heard from that process: who repeats a number of ours has heard us since,
    /// so he lives, and this is no echo of an older day.
    pub echo: u64,
    /// The sender's table.
    pub table: Stamp,
    /// The version of the receiver's table that the sender has; 0 if none, or if it turned out to be wrong.
    pub have: u64,
    /// The receiver is one of those that are to notice when the sender falls silent.
    pub watch: bool,
    /// What it is about.
    #[serde(borrow)]
    pub body: Body<'a>,
}

/// A change of a table: the record of this key is this from now on, or is gone.
pub type Change = (String, Option<Vec<u8>>);

/// What a datagram is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Body<'a> {
    /// I am here; are you? Answered by [`Body::Welcome`].
    Hello,
    /// I heard your greeting.
    Welcome,
    /// I live. Answered now and then by [`Body::Ack`].
    Beat,
    /// I heard you.
    Ack,
    /// Answer at once, by [`Body::Pong`] with the same token.
    Ping(u64),
    /// The answer.
    Pong(u64),
    /// Does this process of a member live? Ask it, and answer by [`Body::Heard`] with the token if it does.
    Ask {
        /// The member.
        who: &'a str,
        /// Its process.
        session: Session,
        /// Repeated in the answer.
        token: u64,
    },
    /// It lives.
    Heard(u64),
    /// This process of a member is dead: it was silent, and nobody who was asked has heard it.
    Died {
        /// The member.
        who: &'a str,
        /// Its process.
        session: Session,
    },
    /// I go, and what I had is in others' hands.
    Left,
    /// What has changed in my table since a version, so that it has this version now.
    Changes {
        /// The version that this is the difference to.
        since: u64,
        /// The version after it.
        version: u64,
        /// The changes, one a key.
        changes: Vec<Change>,
    },
    /// A part of my whole table: of all records in order, as bytes.
    Part {
        /// The version of it.
        version: u64,
        /// Which part, from 0.
        index: u16,
        /// How many there are.
        of: u16,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// A message of the gossip about who is there.
    Swim(&'a [u8]),
    /// I live, and speak to you on a LAN on which I announce; see [`super::Segment`].
    OnSegment {
        /// The highest of your numbers that came by this LAN; 0 if none did.
        heard: u64,
        /// Answer at once, by the interface by which this came, with the number of this.
        answer: bool,
    },
}

impl<'a> Datagram<'a> {
    /// Reads one.
    ///
    /// # Errors
    /// The bytes are none.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (datagram, rest) = postcard::take_from_bytes(bytes).map_err(|_| Malformed)?;
        if rest.is_empty() { Ok(datagram) } else { Err(Malformed) }
    }

    /// As bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // Only a type that cannot tell its length fails, and none of ours is one.
        postcard::to_allocvec(self).unwrap_or_default()
    }
}

/// Bytes that are no datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no datagram of a member")]
pub struct Malformed;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn datagram(body: Body<'_>) -> Datagram<'_> {
        let table = Stamp { version: 3, hash: u64::MAX };
        Datagram { from: "n1", to: 7, echo: 1 << 40, table, have: 2, watch: true, body }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let changes = vec![("claim/10.0.0.1".to_owned(), Some(vec![1, 2])), ("facts".to_owned(), None)];
        for body in [
            Body::Hello,
            Body::Welcome,
            Body::Beat,
            Body::Ack,
            Body::Ping(1),
            Body::Pong(u64::MAX),
            Body::Ask { who: "n2", session: 9, token: 4 },
            Body::Heard(4),
            Body::Died { who: "n2", session: 9 },
            Body::Left,
            Body::Changes { since: 2, version: 5, changes },
            Body::Part { version: 5, index: 1, of: 2, bytes: &[0, 255] },
            Body::Swim(&[1, 2, 3]),
            Body::OnSegment { heard: u64::MAX, answer: true },
        ] {
            let datagram = datagram(body);
            let bytes = datagram.to_bytes();
            assert_eq!(Datagram::parse(&bytes), Ok(datagram));
            assert_eq!(Datagram::parse(&bytes[..bytes.len() - 1]), Err(Malformed));
            assert_eq!(
                Datagram::parse(&[&bytes[..], &[0]].concat()),
                Err(Malformed),
                "there is more behind it"
            );
        }
    }

    #[test]
    fn a_heartbeat_is_small() {
        assert!(datagram(Body::Beat).to_bytes().len() < 40);
        assert!(datagram(Body::OnSegment { heard: 1 << 40, answer: true }).to_bytes().len() < 48);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Datagram::parse(&bytes);
        }
    }
}
