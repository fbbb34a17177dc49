//! Bounds of kernels: what the inner loops count, against the plan, against a disassembler, and against counts by hand.

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic};
use lacuna_jit::{Code, Isa, Loop, PortCounts};
use lacuna_kernels::epilogue::Epilogue;
use lacuna_kernels::gemm::GemmDesc;
use lacuna_kernels::machine::{Binds, Bound, Family, RECORDED};
use lacuna_kernels::spmm::{Schedule, SpmmDesc, SpmmPlan};
use lacuna_kernels::{ActivationBits, Block, Generate, PanelLayout, Sign};

const SPARSE: [Block; 6] = [Block::B4x1, Block::B8x1, Block::B16x1, Block::B1x4, Block::B4x4, Block::Unstructured];

fn epilogue() -> Epilogue {
    Epilogue::requantize(PanelLayout::Plain, Sign::Unsigned)
}

/// Code is emitted here and not run, so no CPU feature is needed.
fn spmm(k: usize, block: Block) -> SpmmPlan {
    SpmmDesc { m: 64, k, block, epilogue: epilogue(), activation_bits: ActivationBits::Eight }
        .plan(Isa::Portable)
        .unwrap()
}

/// The code of every schedule of every block shape, of both widths of indices, and of dense GEMM.
fn codes() -> Vec<Code> {
    let shapes = [64, 8200].into_iter().flat_map(|k| SPARSE.map(|block| spmm(k, block)));
    let sparse = shapes.flat_map(|plan| plan.candidates()).map(|plan| plan.generate().unwrap());
    let dense = [4, 8, 64].map(|k| {
        GemmDesc { m: 64, k, epilogue: epilogue(), activation_bits: ActivationBits::Eight }.plan(Isa::Portable).unwrap()
    });
    sparse.chain(dense.map(|plan| plan.generate().unwrap())).collect()
}

/// The instructions of a loop: those from the target of the jump that ends it to that jump.
fn disassembled(code: &Code, ports: &PortCounts) -> Vec<Vec<Instruction>> {
    let all: Vec<Instruction> = Decoder::new(64, &code.bytes, DecoderOptions::NONE).into_iter().collect();
    let backward =
        all.iter().filter(|i| i.flow_control() == FlowControl::ConditionalBranch && i.near_branch_target() < i.ip());
    backward
        .map(|jump| {
            let inside = |i: &&Instruction| (jump.near_branch_target()..jump.ip()).contains(&i.ip());
            all.iter().filter(inside).copied().collect::<Vec<_>>()
        })
        .filter(|body| body.iter().filter(|i| i.mnemonic() == Mnemonic::Vpdpbusd).count() == ports.dot as usize)
        .collect()
}

#[test]
fn a_loop_has_the_dot_products_that_it_says() {
    for code in codes() {
        assert!(!code.loops.is_empty(), "{}", code.name);
        for of in &code.loops {
            let ports = code.ports(of).unwrap();
            let Loop { outputs, columns, depth, .. } = of;
            assert_eq!(ports.dot as usize * 16, outputs * columns * depth, "{}: {of:?}", code.name);
        }
    }
}

/// Counts by classes of mnemonics that the disassembler names.
#[test]
fn a_disassembler_counts_the_same() {
    for code in codes() {
        for of in &code.loops {
            let ports = code.ports(of).unwrap();
            let is_vector = |i: &Instruction| format!("{:?}", i.mnemonic()).starts_with('V');
            let counts = |body: &Vec<Instruction>| {
                let mut found = PortCounts { dot: ports.dot, ..PortCounts::default() };
                for i in body {
                    let name = format!("{:?}", i.mnemonic());
                    if !is_vector(i) {
                        found.scalar += u32::from(i.flow_control() != FlowControl::ConditionalBranch);
                        continue;
                    }
                    let memory = i.op_kinds().any(|kind| kind == iced_x86::OpKind::Memory);
                    found.vector += 1;
                    let stores = memory && i.op0_kind() == iced_x86::OpKind::Memory;
                    found.store += u32::from(stores);
                    found.load += u32::from(memory && !stores);
                    found.shuffle +=
                        u32::from(name.contains("unpck") || name.contains("shuf") || name.contains("perm"));
                    found.alu += u32::from(memory && name.contains("insert"));
                }
                found
            };
            let all: Vec<PortCounts> = disassembled(&code, &ports).iter().map(counts).collect();
            assert!(all.contains(&ports), "{}: {of:?}\n{all:?}", code.name);
        }
    }
}

/// The bound of a block shape on whole tiles.
fn bound(block: Block, family: Family) -> Bound {
    let facts = family.facts();
    let loops = match block {
        Block::Dense => {
            let plan = GemmDesc { m: 768, k: 768, epilogue: epilogue(), activation_bits: ActivationBits::Eight }
                .plan(Isa::Portable)
                .unwrap();
            plan.executed(&plan.generate().unwrap(), 128)
        }
        _ => {
            let plan = spmm(768, block);
            plan.executed(&plan.generate().unwrap(), 1, 64)
        }
    };
    Bound::of(&loops.unwrap(), &facts).unwrap()
}

/// Issue 14 counts 24 operations on two ports for a group of 4x1: 12 cycles, 67 % of the peak.
#[test]
fn a_group_of_4x1_takes_12_cycles_on_ice_lake() {
    let plan = spmm(768, Block::B4x1);
    let code = plan.generate().unwrap();
    let of = &plan.executed(&code, 1, 64).unwrap()[0];
    assert_eq!(of.iterations, 0.5, "two groups per iteration");
    let PortCounts { dot, shuffle, alu, load, store, .. } = of.ports;
    assert_eq!((dot, shuffle, alu, load, store), (2 * 16, 2 * 8, 0, 2 * 8, 0));
    let found = bound(Block::B4x1, Family::IceLake);
    assert_eq!((found.cycles, found.dots, found.binds), (12.0, 16.0, Binds::DotsAndShuffles));
    assert!((found.share_of_peak(&Family::IceLake.facts()) - 2.0 / 3.0).abs() < 1e-12);
}

/// Shares of the peak in percent.
#[test]
fn bounds_of_families() {
    let shares = |block: Block| RECORDED.map(|f| (bound(block, f).share_of_peak(&f.facts()) * 100.0).round() as u32);
    assert_eq!(RECORDED.map(Family::name), ["Zen 4", "Zen 5", "Cascade Lake", "Ice Lake", "Sapphire Rapids"]);
    assert_eq!(shares(Block::B4x1), [100, 100, 67, 67, 67]);
    assert_eq!(shares(Block::B4x4), [100, 100, 100, 100, 100]);
    // 12 broadcasts and 2 loads for 24 dot products: 1.1 loads per cycle are not enough.
    assert_eq!(shares(Block::Dense), [100, 100, 100, 94, 100]);
    // A load for each dot product. Cascade Lake has four instructions per cycle.
    assert_eq!(shares(Block::B1x4), [94, 94, 70, 52, 80]);
}

/// Of four row blocks one takes 24 operations on two ports per group, the others 16: 9 cycles on average, 89 % of the peak.
#[test]
fn shared_rows_of_16x1_take_9_cycles_on_sapphire_rapids() {
    let facts = Family::SapphireRapids.facts();
    for (block, shared, cycles) in [(Block::B16x1, 4, 9.0), (Block::B8x1, 2, 10.0)] {
        let plan = spmm(768, block);
        let plan = plan.with_schedule(Schedule { shared, ..*plan.schedule() }).unwrap();
        let bound = Bound::of(&plan.executed(&plan.generate().unwrap(), 100, 64).unwrap(), &facts).unwrap();
        assert_eq!((bound.cycles, bound.dots), (100.0 * cycles, 1600.0), "{block}");
    }
}

#[test]
fn a_call_runs_its_loops_once_for_every_group_and_column() {
    for block in SPARSE {
        for plan in spmm(64, block).candidates() {
            let code = plan.generate().unwrap();
            for columns in [1, 16, 17, 32, 48, 64, 65, 80, 128, 200] {
                let loops = plan.executed(&code, 12, columns).unwrap();
                let bound = Bound::of(&loops, &Family::Zen5.facts()).unwrap();
                let vectors = columns.div_ceil(16);
                assert_eq!(bound.dots, (12 * 4 * vectors) as f64, "{}, {columns} columns", code.name);
            }
        }
    }
    for (m, k) in [(4, 4), (5, 8), (12, 64), (17, 7), (48, 64)] {
        let plan = GemmDesc { m, k, epilogue: epilogue(), activation_bits: ActivationBits::Eight }
            .plan(Isa::Portable)
            .unwrap();
        let code = plan.generate().unwrap();
        for columns in [1, 16, 17, 32, 33, 48, 49, 64, 100, 128] {
            let bound = Bound::of(&plan.executed(&code, columns).unwrap(), &Family::Zen5.facts()).unwrap();
            let dots = m.next_multiple_of(4) * k.div_ceil(4) * columns.div_ceil(16);
            assert_eq!(bound.dots, dots as f64, "{}, {columns} columns", code.name);
        }
    }
}
