//! From code to lines: instructions in Intel syntax, labels where branches lead, the emitter's remarks.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Formatter, Instruction, IntelFormatter, SymbolResolver, SymbolResult,
};
use lacuna_jit::Code;
use serde::Serialize;

/// A disassembled kernel.
#[derive(Serialize)]
pub(super) struct Listing {
    name: String,
    bytes: usize,
    instructions: usize,
    registers: Vec<Register>,
    lines: Vec<Line>,
}

#[derive(Serialize)]
struct Register {
    register: String,
    role: &'static str,
}

/// One instruction, and the notes above it.
#[derive(Serialize)]
struct Line {
    offset: u64,
    /// Remarks of the emitter that begin here.
    notes: Vec<String>,
    /// The name of this place, if a branch leads here.
    label: Option<String>,
    /// In hexadecimal.
    bytes: String,
    text: String,
}

/// Bytes shown per line; the longest instruction has 15.
const BYTES_WIDTH: usize = 2 * 11;

impl Listing {
    pub(super) fn new(code: &Code) -> Listing {
        let instructions: Vec<Instruction> =
            Decoder::with_ip(64, &code.bytes, 0, DecoderOptions::NONE).into_iter().collect();
        let labels = labels(&instructions, code.bytes.len() as u64);
        let mut formatter = formatter(labels.clone());
        let mut notes = code.notes.iter().peekable();
        let lines = instructions
            .iter()
            .map(|instruction| {
                let (offset, end) = (instruction.ip(), instruction.next_ip());
                let mut here = Vec::new();
                while let Some(note) = notes.next_if(|note| (note.offset as u64) < end) {
                    here.push(note.text.to_string());
                }
                let mut text = String::new();
                formatter.format(instruction, &mut text);
                let bytes = &code.bytes[offset as usize..end as usize];
                Line {
                    offset,
                    notes: here,
                    label: labels.get(&offset).cloned(),
                    bytes: bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
                    text,
                }
            })
            .collect();
        Listing {
            name: code.name.clone(),
            bytes: code.bytes.len(),
            instructions: instructions.len(),
            registers: code.registers.iter().map(|r| Register { register: r.register.clone(), role: r.role }).collect(),
            lines,
        }
    }

    /// As text; with the bytes of instructions if `bytes`.
    pub(super) fn text(&self, bytes: bool) -> String {
        let mut text = format!("; {}\n; {} bytes, {} instructions\n;\n", self.name, self.bytes, self.instructions);
        // Registers that share a role are on one line.
        for group in self.registers.chunk_by(|a, b| a.role == b.role) {
            let names: Vec<&str> = group.iter().map(|r| r.register.as_str()).collect();
            let _ = writeln!(text, "; {:<14} {}", span(&names), group[0].role);
        }
        for line in &self.lines {
            if !line.notes.is_empty() {
                text.push('\n');
            }
            for note in &line.notes {
                let _ = writeln!(text, "; {note}");
            }
            if let Some(label) = &line.label {
                let _ = writeln!(text, "{label}:");
            }
            let _ = match bytes {
                true => writeln!(text, "{:6x}  {:<BYTES_WIDTH$}  {}", line.offset, line.bytes, line.text),
                false => writeln!(text, "{:6x}  {}", line.offset, line.text),
            };
        }
        text
    }
}

/// `zmm0`, or `zmm0-zmm15` for consecutive registers, or all of them.
fn span(names: &[&str]) -> String {
    let number = |name: &str| name.trim_start_matches(|c: char| !c.is_ascii_digit()).parse::<usize>().ok();
    let kind = |name: &str| name.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned();
    let consecutive = names.windows(2).all(|pair| {
        kind(pair[0]) == kind(pair[1]) && number(pair[0]).zip(number(pair[1])).is_some_and(|(a, b)| b == a + 1)
    });
    match names {
        [first, .., last] if names.len() > 2 && consecutive => format!("{first}-{last}"),
        names => names.join(", "),
    }
}

/// `L0`, `L1`, ... in the order of their addresses, for every branch target in the code.
fn labels(instructions: &[Instruction], end: u64) -> BTreeMap<u64, String> {
    let is_branch = |i: &&Instruction| {
        matches!(i.flow_control(), FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch)
    };
    let targets = instructions.iter().filter(is_branch).map(Instruction::near_branch_target).filter(|&t| t < end);
    let mut labels: BTreeMap<u64, String> = targets.map(|target| (target, String::new())).collect();
    labels.values_mut().enumerate().for_each(|(i, label)| *label = format!("L{i}"));
    labels
}

fn formatter(labels: BTreeMap<u64, String>) -> IntelFormatter {
    let mut formatter = IntelFormatter::with_options(Some(Box::new(Labels(labels))), None);
    let options = formatter.options_mut();
    options.set_first_operand_char_index(12);
    options.set_space_after_operand_separator(true);
    options.set_hex_prefix("0x");
    options.set_hex_suffix("");
    options.set_uppercase_hex(false);
    options.set_branch_leading_zeros(false);
    options.set_show_branch_size(false);
    formatter
}

/// Names of branch targets.
struct Labels(BTreeMap<u64, String>);

impl SymbolResolver for Labels {
    fn symbol(
        &mut self,
        instruction: &Instruction,
        _operand: u32,
        _instruction_operand: Option<u32>,
        address: u64,
        _address_size: u32,
    ) -> Option<SymbolResult<'_>> {
        // Displacements are numbers, whatever stands at that place of the code.
        if instruction.flow_control() == FlowControl::Next {
            return None;
        }
        self.0.get(&address).map(|label| SymbolResult::with_str(address, label))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_name_their_targets_and_notes_stand_above() {
        // dec rdi; jnz -5; mov eax, [rdi]; ret
        let bytes = vec![0x48, 0xff, 0xcf, 0x75, 0xfb, 0x8b, 0x07, 0xc3];
        let notes = vec![lacuna_jit::Note { offset: 0, text: "count down".into() }];
        let features = lacuna_jit::Features::NONE;
        let code = Code { name: "loop".into(), bytes, registers: Vec::new(), notes, features, loops: Vec::new() };
        let listing = Listing::new(&code);
        let text: Vec<String> = listing.lines.iter().map(|line| line.text.clone()).collect();
        assert_eq!(text, ["dec         rdi", "jne         L0", "mov         eax, [rdi]", "ret"]);
        assert_eq!(listing.lines[0].label.as_deref(), Some("L0"));
        assert_eq!(listing.lines[0].notes, ["count down"]);
        assert!(listing.text(true).contains("\n; count down\nL0:\n     0  48ffcf"), "{}", listing.text(true));
    }

    #[test]
    fn runs_of_registers_are_shortened() {
        assert_eq!(span(&["zmm0", "zmm1", "zmm2"]), "zmm0-zmm2");
        assert_eq!(span(&["rax"]), "rax");
        assert_eq!(span(&["zmm0", "zmm1"]), "zmm0, zmm1");
        assert_eq!(span(&["zmm0", "zmm2", "zmm3"]), "zmm0, zmm2, zmm3");
    }
}
