//! What holds for the code of every plan.

use std::collections::HashSet;

use lacuna_jit::Code;

/// Checks the code of the plan called `name`, emitted twice: same bytes, notes in order and inside the code, no register listed
/// twice.
#[track_caller]
pub(crate) fn assert_code_of_a_plan(name: &str, code: &Code, again: &Code) {
    assert_eq!(code.bytes, again.bytes, "{name}");
    assert_eq!(code.name, name);
    assert!(code.notes.is_sorted_by_key(|note| note.offset), "{name}: notes in order");
    assert!(code.notes.iter().all(|note| note.offset < code.bytes.len()), "{name}: notes inside the code");
    let registers: HashSet<_> = code.registers.iter().map(|role| &role.register).collect();
    assert_eq!(registers.len(), code.registers.len(), "{name}: a register listed twice");
}
