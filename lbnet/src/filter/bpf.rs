//! Classic BPF (`linux/bpf_common.h`), as pieces that can be put one after the other: a piece either returns, or goes
//! on after its own end.

/// One instruction, as the kernel takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    /// What to do.
    pub code: u16,
    /// How many instructions to pass over if a comparison holds.
    pub yes: u8,
    /// How many to pass over if it does not.
    pub no: u8,
    /// The constant.
    pub k: u32,
}

pub(super) const LD_W: u16 = 0x20;
pub(super) const LD_H: u16 = 0x28;
pub(super) const LD_B: u16 = 0x30;
pub(super) const LD_LEN: u16 = 0x80;
pub(super) const JA: u16 = 0x05;
pub(super) const JEQ: u16 = 0x15;
pub(super) const JGT: u16 = 0x25;
pub(super) const JGE: u16 = 0x35;
pub(super) const RET: u16 = 0x06;

/// What the kernel takes at most (`BPF_MAXINSNS`).
pub(super) const LONGEST: usize = 4096;
/// How the frame came to the host (`SKF_AD_OFF + SKF_AD_PKTTYPE`, linux/filter.h).
pub(super) const PKTTYPE: u32 = 0xffff_f004;

/// The frame is let through, whole.
pub(super) const ACCEPT: Instruction = Instruction { code: RET, yes: 0, no: 0, k: 0xffff };
/// The frame is dropped.
pub(super) const REJECT: Instruction = Instruction { code: RET, yes: 0, no: 0, k: 0 };

/// Loads a field.
pub(super) fn load(width: u16, offset: u32) -> [Instruction; 1] {
    [Instruction { code: width, yes: 0, no: 0, k: offset }]
}

/// Passes over as many instructions; unlike a comparison it reaches as far as one likes.
pub(super) fn skip(count: usize) -> Instruction {
    let k = u32::try_from(count).expect("programs are short");
    Instruction { code: JA, yes: 0, no: 0, k }
}

/// Runs the piece if what was loaded is `value`.
pub(super) fn if_equal(value: u32, piece: Vec<Instruction>) -> Vec<Instruction> {
    let mut program = vec![Instruction { code: JEQ, yes: 1, no: 0, k: value }, skip(piece.len())];
    program.extend(piece);
    program
}

/// Runs the piece unless the comparison holds.
pub(super) fn unless(comparison: u16, value: u32, piece: Vec<Instruction>) -> Vec<Instruction> {
    let mut program = vec![Instruction { code: comparison, yes: 0, no: 1, k: value }, skip(piece.len())];
    program.extend(piece);
    program
}
