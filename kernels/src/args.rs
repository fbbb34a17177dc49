//! Loading what a kernel is called with.

/// `load_args!(a, r, Args { x, rows: row })` loads fields of the argument struct `Args`, in this order: `x` into the register `r.x`,
/// `rows` into `r.row`. `r.file` is the kernel's register file.
macro_rules! load_args {
    (@one $a:expr, $regs:expr, $args:ident, $field:ident) => {
        load_args!(@one $a, $regs, $args, $field, $field)
    };
    (@one $a:expr, $regs:expr, $args:ident, $field:ident, $register:ident) => {
        $a.load_arg($regs.$register, &$regs.file, std::mem::offset_of!($args, $field))
    };
    ($a:expr, $regs:expr, $args:ident { $($field:ident $(: $register:ident)?),+ }) => {
        $(load_args!(@one $a, $regs, $args, $field $(, $register)?);)+
    };
}

pub(crate) use load_args;
