//! The product of activations and weights, and the change of layout of the weights before it.

use std::ffi::{c_char, c_int};
use std::ptr;

use bytemuck::Pod;

use super::api::{self, DataType, ExecArg, Tag, failed, kind};
use super::objects::{Cpu, Desc, Handle, Memory, Result};

/// A product `dst = scales * (src weights) + bias`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MatmulDesc {
    /// Rows of src and dst.
    pub(crate) tokens: usize,
    /// Columns of src, rows of the weights.
    pub(crate) inputs: usize,
    /// Columns of weights and dst.
    pub(crate) outputs: usize,
    pub(crate) src: DataType,
    pub(crate) weights: DataType,
    pub(crate) dst: DataType,
    /// Whether there is a scale per output; all are 1 without.
    pub(crate) scaled: bool,
}

/// A product that is ready to run, with its memories. src and dst are `[tokens][features]`, without gaps; the weights are in the
/// layout that the library prefers.
pub(crate) struct Matmul<'c> {
    cpu: &'c Cpu,
    desc: MatmulDesc,
    implementation: String,
    /// All arguments of the primitive: the memories below, which are never replaced.
    args: Vec<ExecArg>,
    primitive: Handle<kind::Primitive>,
    src: Memory<'c>,
    weights: Memory<'c>,
    bias: Memory<'c>,
    dst: Memory<'c>,
    scales: Option<Memory<'c>>,
}

impl<'c> Matmul<'c> {
    /// All operands zero; the bytes of dst are 0xff until it is computed.
    pub(crate) fn new(cpu: &'c Cpu, desc: MatmulDesc) -> Result<Matmul<'c>> {
        let primitive_desc = describe(cpu, &desc)?;
        let argument = |arg, fill| Memory::new(argument(cpu, &primitive_desc, arg)?, fill);
        let src = argument(api::ARG_SRC, 0)?;
        let weights = argument(api::ARG_WEIGHTS, 0)?;
        let bias = argument(api::ARG_BIAS, 0)?;
        let dst = argument(api::ARG_DST, 0xff)?;
        let scales = match desc.scaled {
            true => Some(Memory::new(Desc::new(cpu, [desc.outputs], DataType::F32, Tag::A)?, 0)?),
            false => None,
        };
        let mut args = vec![
            src.as_arg(api::ARG_SRC),
            weights.as_arg(api::ARG_WEIGHTS),
            bias.as_arg(api::ARG_BIAS),
            dst.as_arg(api::ARG_DST),
        ];
        args.extend(scales.as_ref().map(|scales| scales.as_arg(api::ARG_ATTR_SCALES | api::ARG_WEIGHTS)));
        let implementation = implementation(cpu, &primitive_desc)?;
        let primitive = primitive(cpu, &primitive_desc)?;
        Ok(Matmul { cpu, desc, implementation, args, primitive, src, weights, bias, dst, scales })
    }

    /// The library's name of the code that runs.
    pub(crate) fn implementation(&self) -> &str {
        &self.implementation
    }

    /// Sets src: `[tokens][inputs]`.
    pub(crate) fn set_src<T: Pod>(&mut self, values: &[T]) -> Result<()> {
        self.src.write(values)
    }

    /// Sets bias and, if there are some, scales: one value per output.
    pub(crate) fn set_outputs(&mut self, bias: &[f32], scales: &[f32]) -> Result<()> {
        self.bias.write(bias)?;
        self.scales.as_mut().map_or(Ok(()), |memory| memory.write(scales))
    }

    /// Sets the weights from `[outputs][inputs]`.
    pub(crate) fn set_weights<T: Pod>(&mut self, values: &[T]) -> Result<()> {
        let MatmulDesc { inputs, outputs, weights, .. } = self.desc;
        let mut plain = Memory::new(Desc::new(self.cpu, [inputs, outputs], weights, Tag::Ba)?, 0)?;
        plain.write(values)?;
        reorder(self.cpu, &plain, &mut self.weights)
    }

    /// Computes dst.
    #[inline]
    pub(crate) fn execute(&mut self) -> Result<()> {
        // SAFETY: `args` are the memories of `self`, which were made of the descriptors that the library gave for the arguments of
        // this primitive; scales have one number per output as its attributes say. None of them is ever replaced, and dst is
        // borrowed by nobody else.
        unsafe { execute(self.cpu, &self.primitive, &self.args) }
    }

    /// dst: `[tokens][outputs]`.
    #[inline]
    pub(crate) fn dst<T: Pod>(&self) -> &[T] {
        self.dst.values()
    }
}

fn describe(cpu: &Cpu, desc: &MatmulDesc) -> Result<Handle<kind::PrimitiveDesc>> {
    /// Of the dimensions of the weights, inputs and outputs, the second: one scale per output.
    const PER_OUTPUT: c_int = 1 << 1;
    let api = cpu.api;
    // SAFETY: the function stores an object on success.
    let attr = unsafe { Handle::create("dnnl_primitive_attr_create", api.attr_destroy, |out| (api.attr_create)(out))? };
    // SAFETY: the object lives.
    unsafe { (api.attr_fpmath)(attr.raw(), api::FPMATH_STRICT) }.check("dnnl_primitive_attr_set_fpmath_mode")?;
    if desc.scaled {
        // SAFETY: the object lives.
        let status = unsafe { (api.attr_scales)(attr.raw(), api::ARG_WEIGHTS, PER_OUTPUT) };
        status.check("dnnl_primitive_attr_set_scales_mask")?;
    }
    let &MatmulDesc { tokens, inputs, outputs, .. } = desc;
    // With features outermost in src and dst only the library's reference code is left.
    let src = Desc::new(cpu, [tokens, inputs], desc.src, Tag::Ab)?;
    let weights = Desc::new(cpu, [inputs, outputs], desc.weights, Tag::Any)?;
    let bias = Desc::new(cpu, [1, outputs], DataType::F32, Tag::Ab)?;
    let dst = Desc::new(cpu, [tokens, outputs], desc.dst, Tag::Ab)?;
    // SAFETY: engine, descriptors and attributes live. What does not fit together is refused.
    unsafe {
        Handle::create("dnnl_matmul_primitive_desc_create", api.primitive_desc_destroy, |out| {
            (api.matmul)(out, cpu.engine(), src.raw(), weights.raw(), bias.raw(), dst.raw(), attr.raw())
        })
    }
}

/// The descriptor of one argument.
fn argument<'c>(cpu: &'c Cpu, desc: &Handle<kind::PrimitiveDesc>, arg: c_int) -> Result<Desc<'c>> {
    // SAFETY: the object lives. What comes back is null or lives as long, and is copied here.
    unsafe {
        let found = (cpu.api.primitive_desc_argument)(desc.raw(), api::QUERY_ARGUMENT_DESC, arg);
        if found.is_null() {
            return Err(failed("dnnl_primitive_desc_query_md", &format!("found no argument {arg}")));
        }
        Desc::copy(cpu, found)
    }
}

fn implementation(cpu: &Cpu, desc: &Handle<kind::PrimitiveDesc>) -> Result<String> {
    const CALL: &str = "dnnl_primitive_desc_query";
    let mut text: *const c_char = ptr::null();
    // SAFETY: the object lives; this query stores the address of a string.
    let status = unsafe {
        let to = (&raw mut text).cast();
        (cpu.api.primitive_desc_query)(desc.raw(), api::QUERY_IMPLEMENTATION, 0, to)
    };
    status.check(CALL)?;
    // SAFETY: a string that lives as long as the object.
    unsafe { api::text(text) }.ok_or_else(|| failed(CALL, "found no name of the implementation"))
}

fn primitive(cpu: &Cpu, desc: &Handle<kind::PrimitiveDesc>) -> Result<Handle<kind::Primitive>> {
    let api = cpu.api;
    // SAFETY: the object lives; the function stores a primitive on success, which keeps what it needs of it.
    unsafe {
        Handle::create("dnnl_primitive_create", api.primitive_destroy, |out| (api.primitive_create)(out, desc.raw()))
    }
}

/// Copies `from` into the layout of `to`.
fn reorder(cpu: &Cpu, from: &Memory<'_>, to: &mut Memory<'_>) -> Result<()> {
    let (api, engine) = (cpu.api, cpu.engine());
    let (source, target) = (from.desc().raw(), to.desc().raw());
    // SAFETY: descriptors and engine live; null attributes are the default ones.
    let desc = unsafe {
        Handle::create("dnnl_reorder_primitive_desc_create", api.primitive_desc_destroy, |out| {
            (api.reorder)(out, source, engine, target, engine, ptr::null_mut())
        })?
    };
    let primitive = primitive(cpu, &desc)?;
    let args = [from.as_arg(api::ARG_SRC), to.as_arg(api::ARG_DST)];
    // SAFETY: these are both arguments, of the descriptors that the primitive was made of; `to` is borrowed by nobody else.
    unsafe { execute(cpu, &primitive, &args) }
}

/// Runs `primitive` to its end.
///
/// # Safety
/// `args` are all arguments of the primitive, with memories that live, of the descriptors that it was made for. Nobody else
/// borrows the data of those that it writes.
#[inline]
unsafe fn execute(cpu: &Cpu, primitive: &Handle<kind::Primitive>, args: &[ExecArg]) -> Result<()> {
    let (api, stream) = (cpu.api, cpu.stream());
    // SAFETY: primitive and stream live, the count is that of the array, and the rest is as the caller promises.
    let status = unsafe { (api.primitive_execute)(primitive.raw(), stream, args.len() as c_int, args.as_ptr()) };
    status.check("dnnl_primitive_execute")?;
    // SAFETY: the stream lives.
    unsafe { (api.stream_wait)(stream) }.check("dnnl_stream_wait")
}
