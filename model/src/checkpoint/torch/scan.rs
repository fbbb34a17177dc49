//! Checks what a pickle would do, without running it.
//!
//! A pickle is a list of opcodes for a stack machine. `torch.save` needs few of them, and few names of classes and functions;
//! this walks over the opcodes and refuses everything else, as `torch.load(weights_only=True)` does. It keeps no stack, so it
//! needs no memory, and it bounds what an interpreter that keeps one can need.

use std::ops::ControlFlow;

/// Longest pickle, in bytes: some 50 000 tensors.
pub(super) const MAX_BYTES: usize = 8 << 20;
/// Most opcodes, each of which may put a value of some 80 bytes on an interpreter's stack: a tensor takes about 50.
const MAX_OPCODES: usize = 4 << 20;

/// All that may be called or named, module before name.
const GLOBALS: [(&str, &[&str]); 6] = [
    ("collections", &["OrderedDict"]),
    ("torch._utils", &["_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_parameter"]),
    ("torch.storage", &["UntypedStorage"]),
    ("torch", &STORAGES),
    ("torch", &DTYPES),
    ("torch", &["UntypedStorage"]),
];
const STORAGES: [&str; 10] = [
    "FloatStorage",
    "HalfStorage",
    "BFloat16Storage",
    "DoubleStorage",
    "LongStorage",
    "IntStorage",
    "ShortStorage",
    "CharStorage",
    "ByteStorage",
    "BoolStorage",
];
/// Of `_rebuild_tensor_v3`.
const DTYPES: [&str; 13] = [
    "float32", "float16", "bfloat16", "float64", "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16",
    "uint8", "bool",
];

/// Why a pickle is refused.
pub(super) enum Refusal {
    /// It names this class or function.
    Global(String),
    /// It is damaged, or not of the kind that `torch.save` writes.
    Other(String),
}

/// Walks over the pickle that `bytes` begin with, and gives its length.
pub(super) fn scan(bytes: &[u8]) -> Result<usize, Refusal> {
    let mut reader = Opcodes { rest: bytes };
    for _ in 0..MAX_OPCODES {
        if let ControlFlow::Break(()) = reader.step()? {
            return Ok(bytes.len() - reader.rest.len());
        }
    }
    Err(Refusal::Other(format!("found more than {MAX_OPCODES} opcodes in one pickle")))
}

struct Opcodes<'a> {
    rest: &'a [u8],
}

impl<'a> Opcodes<'a> {
    /// Passes one opcode and its arguments; STOP breaks.
    fn step(&mut self) -> Result<ControlFlow<()>, Refusal> {
        let [opcode] = self.array()?;
        match opcode {
            b'.' => return Ok(ControlFlow::Break(())),
            // MARK, POP, POP_MARK, DUP, NONE, True, False, and what makes containers of what is on the stack.
            b'(' | b'0' | b'1' | b'2' | b'N' | 0x88 | 0x89 => {}
            b')' | b']' | b'}' | b't' | b'l' | b'd' | 0x85..=0x87 | b'a' | b'e' | b's' | b'u' => {}
            // REDUCE, BUILD, BINPERSID: they act on names and values that were passed before.
            b'R' | b'b' | b'Q' => {}
            // BININT1, BINGET, BINPUT; BININT2; BININT, LONG_BINGET, LONG_BINPUT; BINFLOAT.
            b'K' | b'h' | b'q' => self.skip(1)?,
            b'M' => self.skip(2)?,
            b'J' | b'j' | b'r' => self.skip(4)?,
            b'G' => self.skip(8)?,
            // SHORT_BINSTRING, LONG1; BINSTRING, BINUNICODE, LONG4.
            b'U' | 0x8a => {
                let [length] = self.array()?;
                self.skip(length.into())?;
            }
            b'T' | b'X' | 0x8b => {
                let length = u32::from_le_bytes(self.array()?);
                self.skip(length as usize)?;
            }
            b'c' => self.global()?,
            0x80 => match self.array()? {
                [0..=2] => {}
                [version] => {
                    return Err(Refusal::Other(format!(
                        "found pickle protocol {version}; expected 2, the default of torch.save"
                    )));
                }
            },
            _ => return Err(Refusal::Other(format!("found opcode {opcode:#04x}, which torch.save does not write"))),
        }
        Ok(ControlFlow::Continue(()))
    }

    fn global(&mut self) -> Result<(), Refusal> {
        let (module, name) = (self.line()?, self.line()?);
        let known =
            |(of, names): &(&str, &[&str])| of.as_bytes() == module && names.iter().any(|n| n.as_bytes() == name);
        match GLOBALS.iter().any(known) {
            true => Ok(()),
            false => {
                let text = String::from_utf8_lossy;
                Err(Refusal::Global(format!("{}.{}", text(module), text(name))))
            }
        }
    }

    fn line(&mut self) -> Result<&'a [u8], Refusal> {
        let end = self.rest.iter().position(|&byte| byte == b'\n').ok_or_else(Self::ends)?;
        let (line, rest) = self.rest.split_at(end);
        self.rest = rest.get(1..).unwrap_or_default();
        Ok(line)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Refusal> {
        let (array, rest) = self.rest.split_first_chunk().ok_or_else(Self::ends)?;
        self.rest = rest;
        Ok(*array)
    }

    fn skip(&mut self, length: usize) -> Result<(), Refusal> {
        self.rest = self.rest.get(length..).ok_or_else(Self::ends)?;
        Ok(())
    }

    fn ends() -> Refusal {
        Refusal::Other("it ends within a pickle".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_opcodes() {
        let arguments: [(&[u8], usize); 9] = [
            (b"N", 0),
            (b"K", 1),
            (b"M", 2),
            (b"J", 4),
            (b"G", 8),
            (b"U\x03", 3),
            (b"\x8a\x09", 9),
            (b"X\x05\0\0\0", 5),
            (b"\x8b\x02\0\0\0", 2),
        ];
        for (opcode, length) in arguments {
            // An argument of STOP opcodes is skipped. With one byte less the pickle has no end.
            let pickle = [opcode, &vec![b'.'; length], b"."].concat();
            assert!(matches!(scan(&pickle), Ok(end) if end == pickle.len()), "{opcode:?}");
            assert!(matches!(scan(&[&pickle[..], b"more"].concat()), Ok(end) if end == pickle.len()), "{opcode:?}");
            assert!(scan(&pickle[..pickle.len() - 1]).is_err(), "{opcode:?}");
        }
    }

    #[test]
    fn names_and_opcodes() {
        assert!(scan(b"\x80\x02ctorch\nHalfStorage\n.").is_ok());
        let refused = |pickle: &[u8]| match scan(pickle) {
            Ok(_) => panic!("accepted {pickle:?}"),
            Err(Refusal::Global(text) | Refusal::Other(text)) => text,
        };
        assert_eq!(refused(b"cos\nsystem\n."), "os.system");
        assert_eq!(refused(b"ctorch\nload\n."), "torch.load");
        assert!(refused(b"\x80\x04.").contains("protocol 4"));
        assert!(refused(b"\x93.").contains("0x93"));
        assert!(refused(&vec![b'N'; MAX_OPCODES + 1]).contains("opcodes"));
        assert!(refused(b"").contains("ends"));
        assert!(refused(b"ctorch").contains("ends"));
    }
}
