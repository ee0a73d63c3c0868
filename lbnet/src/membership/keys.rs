//! Sealing: what members send is read and written by those who have the key, and nobody else.
//!
//! Every process draws a session at random and derives a key of its own from the shared one and that session, by HKDF
//! (RFC 5869). Its datagrams are sealed by ChaCha20-Poly1305 (RFC 8439) with their number as the nonce, so no nonce is
//! used twice under one key. Whoever hears a session for the first time derives the same key. A datagram is
//!
//! ```text
//! version 1 | key 4 | session 8 | sequence 8 | sealed body and tag of 16
//! ```
//!
//! with its first 21 bytes authenticated too. Several shared keys can be known at a time: one seals, all open, so that
//! keys change without a gap. Numbers that come twice are the business of [`super::replay`].

use std::collections::BTreeMap;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Prk, Salt};

use super::message::Session;

/// What the first byte of every datagram says.
const VERSION: u8 = 1;
const HEAD: usize = 21;
/// Bytes that sealing adds to a body.
pub const OVERHEAD: usize = HEAD + 16;
/// Keys of sessions that are remembered: a restart makes a new one, and whoever has no key can make none.
const REMEMBERED: usize = 4096;

/// Names a key in a datagram, and tells nothing of it.
type KeyId = [u8; 4];

/// What members share.
#[derive(Clone)]
pub struct Key {
    id: KeyId,
    secret: Prk,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The secret is nobody's business.
        f.debug_struct("Key").field("id", &self.id).finish_non_exhaustive()
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

/// A key that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// It is too short.
    #[error("the key has {found} bytes; it needs at least {SHORTEST}, as from head -c 32 /dev/urandom")]
    TooShort {
        /// How many bytes it has.
        found: usize,
    },
}

/// Anything shorter can be guessed.
pub const SHORTEST: usize = 16;

impl Key {
    /// Any bytes of which at least [`SHORTEST`] are left without white space at both ends, as in a file.
    ///
    /// # Errors
    /// There are fewer.
    pub fn new(bytes: &[u8]) -> Result<Self, BadKey> {
        let bytes = bytes.trim_ascii();
        if bytes.len() < SHORTEST {
            return Err(BadKey::TooShort { found: bytes.len() });
        }
        let secret = Salt::new(HKDF_SHA256, b"lbd membership 1").extract(bytes);
        let mut id = KeyId::default();
        expand(&secret, &[b"id"], &mut id);
        Ok(Self { id, secret })
    }

    /// The key of those who want none: anybody can seal and open.
    #[must_use]
    pub fn insecure() -> Self {
        Self::new(b"lbd without a membership key").unwrap_or_else(|_| unreachable!("it is long enough"))
    }

    fn of_session(&self, session: Session) -> Option<LessSafeKey> {
        let mut bytes = [0; 32];
        expand(&self.secret, &[b"session", &session.to_be_bytes()], &mut bytes);
        UnboundKey::new(&CHACHA20_POLY1305, &bytes).ok().map(LessSafeKey::new)
    }
}

fn expand(secret: &Prk, info: &[&[u8]], out: &mut [u8]) {
    struct Length(usize);
    impl ring::hkdf::KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }
    // It fails for lengths of more than 8,160 bytes only.
    let _ = secret.expand(info, Length(out.len())).and_then(|okm| okm.fill(out));
}

/// Seals what this process sends, and opens what others do.
#[derive(Debug)]
pub struct Keys {
    session: Session,
    /// The first seals.
    shared: Vec<Key>,
    own: Option<LessSafeKey>,
    sessions: BTreeMap<(KeyId, Session), LessSafeKey>,
}

/// Why a datagram was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotOpened {
    /// It is too short, or of another version.
    #[error("is no datagram of version {VERSION}")]
    NotOurs,
    /// Its key is not known here.
    #[error("is sealed by a key that is not known here")]
    UnknownKey,
    /// It was changed, or its sender does not have the key.
    #[error("is not sealed by the key that it names")]
    Forged,
}

impl Keys {
    /// The first of `shared` seals, all open.
    #[must_use]
    pub fn new(session: Session, shared: Vec<Key>) -> Self {
        let own = shared.first().and_then(|key| key.of_session(session));
        Self { session, shared, own, sessions: BTreeMap::new() }
    }

    /// Other keys from now on; true if they are others.
    pub fn set(&mut self, shared: Vec<Key>) -> bool {
        if self.shared == shared {
            return false;
        }
        self.own = shared.first().and_then(|key| key.of_session(self.session));
        self.sessions.retain(|(id, _), _| shared.iter().any(|key| key.id == *id));
        self.shared = shared;
        true
    }

    /// Seals a body under its number, which must never have been used before; nothing without a key.
    #[must_use]
    pub fn seal(&self, sequence: u64, body: &[u8]) -> Option<Vec<u8>> {
        let (key, shared) = (self.own.as_ref()?, self.shared.first()?);
        let mut datagram = Vec::with_capacity(OVERHEAD + body.len());
        datagram.push(VERSION);
        datagram.extend(shared.id);
        datagram.extend(self.session.to_be_bytes());
        datagram.extend(sequence.to_be_bytes());
        let mut sealed = body.to_vec();
        let head = Aad::from(datagram.clone());
        key.seal_in_place_append_tag(nonce(sequence), head, &mut sealed).ok()?;
        datagram.extend(sealed);
        Some(datagram)
    }

    /// Opens a datagram: its sender's session, its number, and its body.
    ///
    /// # Errors
    /// It is not from one who has a key that is known here.
    pub fn open<'a>(&mut self, datagram: &'a mut [u8]) -> Result<(Session, u64, &'a [u8]), NotOpened> {
        if datagram.len() < OVERHEAD || datagram[0] != VERSION {
            return Err(NotOpened::NotOurs);
        }
        let (head, body) = datagram.split_at_mut(HEAD);
        let mut id = KeyId::default();
        id.copy_from_slice(&head[1..5]);
        let number = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&head[at..at + 8]);
            u64::from_be_bytes(bytes)
        };
        let (session, sequence) = (number(5), number(13));
        let shared = self.shared.iter().find(|key| key.id == id).ok_or(NotOpened::UnknownKey)?;
        let known = self.sessions.get(&(id, session));
        let derived = if known.is_none() { shared.of_session(session) } else { None };
        let key = known.or(derived.as_ref()).ok_or(NotOpened::Forged)?;
        let length =
            key.open_in_place(nonce(sequence), Aad::from(&*head), body).map_err(|_| NotOpened::Forged)?.len();
        // Only what is genuine takes up memory.
        if let Some(key) = derived {
            if self.sessions.len() >= REMEMBERED {
                self.sessions.pop_first();
            }
            self.sessions.insert((id, session), key);
        }
        Ok((session, sequence, &body[..length]))
    }
}

/// A number as 96 bits.
fn nonce(sequence: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&sequence.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        Key::new(text.as_bytes()).unwrap()
    }

    #[test]
    fn what_one_seals_another_with_the_key_opens() {
        let one = Keys::new(7, vec![key("0123456789abcdef\n")]);
        let mut other = Keys::new(8, vec![key(" 0123456789abcdef")]);
        for sequence in [1, u64::MAX] {
            let mut datagram = one.seal(sequence, b"hello").unwrap();
            assert_eq!(datagram.len(), OVERHEAD + 5);
            assert_eq!(other.open(&mut datagram), Ok((7, sequence, &b"hello"[..])));
        }
    }

    #[test]
    fn no_bit_can_be_changed() {
        let one = Keys::new(7, vec![key("0123456789abcdef")]);
        let mut other = Keys::new(8, vec![key("0123456789abcdef")]);
        let datagram = one.seal(3, b"hello").unwrap();
        for bit in 0..datagram.len() * 8 {
            let mut changed = datagram.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(other.open(&mut changed).is_err(), "bit {bit}");
        }
        for length in 0..datagram.len() {
            assert!(other.open(&mut datagram[..length].to_vec()).is_err(), "{length} bytes");
        }
        assert_eq!(other.sessions.len(), 0, "what is forged is not remembered");
    }

    #[test]
    fn keys_change_without_a_gap() {
        let (old, new) = (key("the old key of 24 bytes!"), key("the new key of 24 bytes!"));
        let mut one = Keys::new(7, vec![old.clone()]);
        let mut other = Keys::new(8, vec![old.clone()]);
        let heard = |one: &Keys, other: &mut Keys, sequence| {
            other.open(&mut one.seal(sequence, b"x").unwrap()).is_ok()
        };
        // First all know the new one, then all use it, then the old one goes.
        for (number, (ours, theirs)) in [
            (vec![old.clone()], vec![old.clone(), new.clone()]),
            (vec![old.clone(), new.clone()], vec![old.clone(), new.clone()]),
            (vec![new.clone(), old.clone()], vec![old.clone(), new.clone()]),
            (vec![new.clone(), old.clone()], vec![new.clone(), old.clone()]),
            (vec![new.clone()], vec![new.clone(), old.clone()]),
            (vec![new.clone()], vec![new.clone()]),
        ]
        .into_iter()
        .enumerate()
        {
            one.set(ours);
            other.set(theirs);
            let sequence = u64::try_from(number).unwrap();
            assert!(heard(&one, &mut other, 2 * sequence + 1) && heard(&other, &mut one, 2 * sequence + 2));
        }
        other.set(vec![old]);
        assert_eq!(other.open(&mut one.seal(99, b"x").unwrap()), Err(NotOpened::UnknownKey));
    }

    #[test]
    fn a_key_that_can_be_guessed_is_none() {
        assert_eq!(Key::new(b"  short\n").unwrap_err(), BadKey::TooShort { found: 5 });
        assert!(!format!("{:?}", key("0123456789abcdef")).contains("0123456789"));
    }
}
