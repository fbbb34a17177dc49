//! Code says which CPU features it needs: a disassembler finds no instruction that needs another one.

mod support;

use std::collections::HashSet;

use iced_x86::{CpuidFeature, Decoder, DecoderOptions, Mnemonic};
use lacuna_jit::{Avx2, Avx512Vnni, Code, Features, Isa, Tier};
use lacuna_kernels::attention::AttentionDesc;
use lacuna_kernels::cache::AnyPlan;
use lacuna_kernels::dynamic::{ColumnQuantDesc, ColumnRescaleDesc};
use lacuna_kernels::elementwise::ElementwiseDesc;
use lacuna_kernels::embedding::EmbeddingDesc;
use lacuna_kernels::epilogue::Epilogue;
use lacuna_kernels::float::{DType, FloatDesc, sinks};
use lacuna_kernels::gemm::GemmDesc;
use lacuna_kernels::layernorm::LayerNormDesc;
use lacuna_kernels::softmax::SoftmaxDesc;
use lacuna_kernels::spmm::SpmmDesc;
use lacuna_kernels::{ActivationBits, Block, Generate, PanelLayout, Sink};

/// Kernels of every kind that generates code.
fn plans(isa: Isa) -> Vec<AnyPlan> {
    let (m, k, features) = (40, 100, 70);
    let mut plans = Vec::new();
    for epilogue in Epilogue::all() {
        plans.push(GemmDesc { m, k, epilogue, activation_bits: ActivationBits::Eight }.plan(isa).unwrap().key());
        for block in [Block::B4x1, Block::B1x4, Block::B4x4] {
            let candidates = SpmmDesc { m, k, block, epilogue, activation_bits: ActivationBits::Eight }
                .plan(isa)
                .unwrap()
                .candidates();
            plans.extend(candidates.iter().map(Generate::key));
        }
    }
    for sink in sinks() {
        for (dtype, block) in
            DType::ALL.into_iter().flat_map(|d| [Block::B4x1, Block::B8x1, Block::Dense].map(|b| (d, b)))
        {
            match (FloatDesc { m, k, dtype, block, sink }).candidates(isa) {
                Ok(candidates) => plans.extend(candidates.iter().map(Generate::key)),
                Err(error) => eprintln!("skipped: {error}"),
            }
        }
    }
    plans.push(EmbeddingDesc { features }.plan(isa).unwrap().key());
    plans.push(SoftmaxDesc { features }.plan(isa).unwrap().key());
    plans.push(
        LayerNormDesc { features, f32: true, panel: None, activation_bits: ActivationBits::Eight }
            .plan(isa)
            .unwrap()
            .key(),
    );
    for f32 in [false, true] {
        let panels = [PanelLayout::Plain, PanelLayout::Vnni];
        let norms = panels.map(|layout| {
            LayerNormDesc { features, f32, panel: Some(layout), activation_bits: ActivationBits::Eight }
                .plan(isa)
                .unwrap()
                .key()
        });
        plans.extend(norms);
    }
    for sink in Sink::all() {
        // Neither kernel has every sink.
        plans.extend(ColumnRescaleDesc { features, sink }.plan(isa).map(|plan| plan.key()).ok());
        plans.extend(ElementwiseDesc { features, sink }.plan(isa).map(|plan| plan.key()).ok());
    }
    for layout in [PanelLayout::Plain, PanelLayout::Vnni] {
        plans.push(
            ColumnQuantDesc { features, layout, activation_bits: ActivationBits::Eight }.plan(isa).unwrap().key(),
        );
        plans.push(
            AttentionDesc { head_size: 32, output: layout, activation_bits: ActivationBits::Eight }
                .plan(isa)
                .unwrap()
                .key(),
        );
    }
    plans
}

/// The feature's name in `Features`; nothing if every x86-64 CPU has it.
fn named(feature: CpuidFeature) -> Result<Features, String> {
    use CpuidFeature::*;
    match feature {
        INTEL8086 | INTEL186 | INTEL286 | INTEL386 | INTEL486 | X64 | CMOV | MULTIBYTENOP | SSE | SSE2 => {
            Ok(Features::NONE)
        }
        AVX | AVX2 => Ok(Features::AVX2), // no tier has AVX alone
        FMA => Ok(Features::FMA),
        AVX_VNNI => Ok(Features::AVX_VNNI),
        AVX512F => Ok(Features::AVX512F),
        AVX512BW => Ok(Features::AVX512BW),
        AVX512DQ => Ok(Features::AVX512DQ),
        AVX512VL => Ok(Features::AVX512VL),
        AVX512_VNNI => Ok(Features::AVX512_VNNI),
        AVX512_VBMI => Ok(Features::AVX512_VBMI),
        AVX512_BF16 => Ok(Features::AVX512_BF16),
        other => Err(format!("{other:?}")),
    }
}

/// What the instructions of `code` need.
fn needs_of(code: &Code) -> Features {
    let mut needs = Features::NONE;
    for instruction in &mut Decoder::new(64, &code.bytes, DecoderOptions::NONE) {
        if instruction.mnemonic() == Mnemonic::Vzeroupper {
            continue; // AVX, which all tiers with code include
        }
        for &feature in instruction.cpuid_features() {
            needs = needs | named(feature).unwrap_or_else(|f| panic!("{}: {instruction:?} needs {f}", code.name));
        }
    }
    needs
}

#[test]
fn code_needs_what_its_instructions_need() {
    let Some(token) = Avx512Vnni::detect() else {
        support::tiers(); // says what is skipped
        return;
    };
    let optional = Features::AVX512_VBMI | Features::AVX512_BF16;
    let isas: HashSet<Isa> = [token, token.without_vbmi()].map(Isa::Avx512Vnni).into();
    for plan in isas.into_iter().flat_map(plans) {
        let (name, code) = (plan.name(), plan.emit().unwrap());
        let needs = needs_of(&code);
        assert_eq!(code.features, needs, "{name}");
        assert!((Tier::Avx512Vnni.features() | optional).contains(needs), "{name}");
        assert!(Features::detect().contains(needs), "{name}");
    }
}

#[test]
fn code_of_256_bits_needs_nothing_of_avx512() {
    let Some(token) = Avx2::detect() else {
        support::tiers(); // says what is skipped
        return;
    };
    let mut generated = 0;
    let isas: HashSet<Isa> = [token, token.without_vnni()].map(Isa::Avx2).into();
    for isa in isas {
        let tier = if let Isa::Avx2(token) = isa { token.tier() } else { panic!("{isa}") };
        for plan in plans(isa).iter().filter(|plan| plan.isa() == isa) {
            let (name, code) = (plan.name(), plan.emit().unwrap());
            let needs = needs_of(&code);
            assert_eq!(code.features, needs, "{name}");
            assert!(tier.features().contains(needs), "{name}");
            generated += 1;
        }
    }
    assert!(generated > 100, "{generated} kernels");
}
