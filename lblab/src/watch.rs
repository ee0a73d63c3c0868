//! Asking without end who has an address: who answered, and for how long nobody did.

use std::io;
use std::net::Ipv4Addr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lbnet::filter::{Filter, Protocol};
use lbnet::socket::FrameSocket;
use lbnet::wire::Operation;
use lbnet::{ArpFrame, MacAddr};
use tokio::sync::oneshot;

use crate::{Host, LabError, Nic};

/// A question every millisecond, at most for this long.
const LONGEST: Duration = Duration::from_mins(2);

/// An answer that comes later is none to that question.
const IN_TIME: Duration = Duration::from_millis(50);
/// Who does not answer for so long has ceased to.
const PAUSE: Duration = Duration::from_millis(250);

/// What was heard so far.
#[derive(Debug, Default)]
struct Heard {
    asked: Vec<Instant>,
    answers: Vec<(Instant, MacAddr)>,
}

/// Somebody who asks until it is dropped.
#[derive(Debug)]
pub struct Watch {
    heard: Arc<Mutex<Heard>>,
    _stop: oneshot::Sender<()>,
}

/// What a watch came to.
#[derive(Debug, Clone)]
pub struct Story {
    /// Every question: when.
    pub asked: Vec<Instant>,
    /// Every answer: when, and by whom.
    pub answers: Vec<(Instant, MacAddr)>,
}

/// A time in which a station answered.
#[derive(Debug)]
struct Turn {
    mac: MacAddr,
    since: Instant,
    until: Instant,
}

impl Story {
    /// The longest time without an answer, and who answered after it.
    #[must_use]
    pub fn longest_gap(&self) -> Option<(Duration, MacAddr)> {
        let gaps = self.answers.windows(2).map(|pair| (pair[1].0 - pair[0].0, pair[1].1));
        gaps.max_by_key(|(gap, _)| *gap)
    }

    /// How long more than one station answered: from the first answer of the last one to come to the last answer of any
    /// other.
    #[must_use]
    pub fn doubly_answered(&self) -> Duration {
        let Some((_, last)) = self.answers.last() else { return Duration::ZERO };
        let first = self.answers.iter().find(|(_, mac)| mac == last).map(|(at, _)| *at);
        let others = self.answers.iter().rfind(|(_, mac)| mac != last).map(|(at, _)| *at);
        first.zip(others).map(|(first, other)| other.saturating_duration_since(first)).unwrap_or_default()
    }

    /// The longest time in which two stations answered side by side: also if an address moved more than once.
    #[must_use]
    pub fn longest_overlap(&self) -> Duration {
        let turns = self.turns();
        let pairs = turns.iter().enumerate().flat_map(|(at, one)| {
            turns[at + 1..].iter().filter(|other| other.mac != one.mac).map(move |other| {
                one.until.min(other.until).saturating_duration_since(one.since.max(other.since))
            })
        });
        pairs.max().unwrap_or_default()
    }

    /// When which station answered without a long pause.
    fn turns(&self) -> Vec<Turn> {
        let mut turns: Vec<Turn> = Vec::new();
        for (at, mac) in &self.answers {
            match turns.iter_mut().rfind(|turn| turn.mac == *mac) {
                Some(turn) if *at - turn.until < PAUSE => turn.until = *at,
                _ => turns.push(Turn { mac: *mac, since: *at, until: *at }),
            }
        }
        turns
    }

    /// How many questions nobody answered, those left out that could still be answered when the story ends. Every station
    /// gives one answer to a question, so that each of its answers counts for the newest question before it that it has
    /// not answered yet: a question that was lost is counted whatever is answered after it.
    #[must_use]
    pub fn unanswered(&self) -> usize {
        let mut answered = vec![false; self.asked.len()];
        for station in self.answerers() {
            let mut by_it = vec![false; self.asked.len()];
            for (at, _) in self.answers.iter().filter(|(_, mac)| *mac == station) {
                let before = self.asked.partition_point(|asked| asked <= at);
                let open = (0..before).rev().take_while(|number| *at - self.asked[*number] <= IN_TIME);
                if let Some(number) = open.into_iter().find(|number| !by_it[*number]) {
                    (by_it[number], answered[number]) = (true, true);
                }
            }
        }
        let end = self.asked.last().copied();
        let decided = self.asked.partition_point(|asked| end.is_some_and(|end| end - *asked > IN_TIME));
        answered[..decided].iter().filter(|answered| !**answered).count()
    }

    /// Who answered, in the order of their first answers.
    #[must_use]
    pub fn answerers(&self) -> Vec<MacAddr> {
        let mut seen: Vec<MacAddr> = Vec::new();
        for (_, mac) in &self.answers {
            if !seen.contains(mac) {
                seen.push(*mac);
            }
        }
        seen
    }
}

impl Watch {
    /// Asks from the interface `nic` of `host` who has `target`, every millisecond.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn start(host: &Host, nic: &Nic, target: Ipv4Addr) -> Result<Self, LabError> {
        let index = host.net().index(&nic.name).await?;
        let doing = LabError::io(format!("asking for {target} on {}", host.name()));
        let heard = Arc::<Mutex<Heard>>::default();
        let (stop, mut stopped) = oneshot::channel::<()>();
        let question = ArpFrame::request(nic.mac, nic.address, target).to_bytes();
        let (noting, own) = (Arc::clone(&heard), nic.mac);
        let begin = move || async move {
            let index =
                NonZeroU32::new(index).ok_or_else(|| io::Error::other("an interface has no index"))?;
            let socket = FrameSocket::open(index, Protocol::Arp, &Filter::open(Protocol::Arp))
                .map_err(io::Error::other)?;
            tokio::task::spawn_local(async move {
                let note =
                    |of: &dyn Fn(&mut Heard)| of(&mut noting.lock().unwrap_or_else(PoisonError::into_inner));
                let mut tick = tokio::time::interval(Duration::from_millis(1));
                tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
                let end = tokio::time::sleep(LONGEST);
                tokio::pin!(end);
                let mut buffer = [0; 128];
                loop {
                    tokio::select! {
                        _ = &mut stopped => return,
                        () = &mut end => return,
                        _ = tick.tick() => {
                            let at = Instant::now();
                            if socket.send(&question).is_ok() {
                                note(&|heard| heard.asked.push(at));
                            }
                        }
                        frame = socket.recv(&mut buffer) => {
                            let Some(frame) = frame.ok().and_then(|bytes| ArpFrame::parse(bytes).ok()) else { continue };
                            let is_answer = frame.operation == Operation::Reply
                                && frame.sender_ip == target
                                && frame.destination == own;
                            if is_answer {
                                note(&|heard| heard.answers.push((Instant::now(), frame.sender_mac)));
                            }
                        }
                    }
                }
            });
            Ok::<_, io::Error>(())
        };
        host.run(begin).await?.map_err(doing)?;
        Ok(Self { heard, _stop: stop })
    }

    /// What was heard until now.
    #[must_use]
    pub fn story(&self) -> Story {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        Story { asked: heard.asked.clone(), answers: heard.answers.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: MacAddr = MacAddr(2, 0, 0, 0, 0, 1);
    const B: MacAddr = MacAddr(2, 0, 0, 0, 0, 2);

    /// A question every millisecond; each answer with the millisecond of its question, and half a millisecond later.
    fn story(questions: u64, answers: impl IntoIterator<Item = (u64, MacAddr)>) -> Story {
        let begun = Instant::now();
        let at = |micros| begun + Duration::from_micros(micros);
        let answers = answers.into_iter().map(|(question, mac)| (at(question * 1000 + 500), mac));
        Story { asked: (0..questions).map(|number| at(number * 1000)).collect(), answers: answers.collect() }
    }

    #[test]
    fn each_question_that_nobody_answered_is_counted() {
        let all = |from, to, mac| (from..to).map(move |number| (number, mac));
        assert_eq!(story(300, all(0, 300, A)).unanswered(), 0);
        assert_eq!(story(300, all(0, 300, A).filter(|(number, _)| number % 100 != 7)).unanswered(), 3);
        let gap = all(0, 100, A).chain(all(140, 300, B));
        assert_eq!(story(300, gap).unanswered(), 40);
        // One that is lost while another station answers already is answered by that.
        let mut both: Vec<_> = all(0, 120, A).filter(|(number, _)| *number != 110).collect();
        both.extend(all(100, 300, B));
        both.sort_by_key(|(number, _)| *number);
        assert_eq!(story(300, both.clone()).unanswered(), 0);
        assert_eq!(story(300, both.iter().filter(|it| it.0 != 110).copied()).unanswered(), 1);
    }

    #[test]
    fn answers_that_come_late_or_all_at_once_count_for_the_questions_before() {
        let mut late = story(300, (0..300).map(|number| (number, A)));
        for (number, (at, _)) in late.answers.iter_mut().enumerate() {
            // Those of ten questions come together, with the last of them.
            *at += Duration::from_millis(u64::try_from(9 - number % 10).unwrap_or_default());
        }
        assert_eq!(late.unanswered(), 0);
        late.answers.remove(123);
        assert_eq!(late.unanswered(), 1);
    }

    #[test]
    fn stations_that_answer_side_by_side_are_noticed_at_every_move() {
        let move_to = |from: u64, one, other| (from..from + 20).flat_map(move |at| [(at, one), (at, other)]);
        let alone = |from: u64, to: u64, mac| (from..to).map(move |at| (at, mac));
        let there = alone(0, 400, A).chain(move_to(400, A, B)).chain(alone(420, 1000, B));
        let back = there.clone().chain(move_to(1000, B, A)).chain(alone(1020, 1400, A));
        assert_eq!(story(1000, there).longest_overlap(), Duration::from_millis(19));
        assert_eq!(story(1400, back).longest_overlap(), Duration::from_millis(19));
        assert_eq!(story(9, alone(0, 9, A)).longest_overlap(), Duration::ZERO);
    }
}
