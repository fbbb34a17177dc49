//! What a product kernel must refuse, and how. SpMM and GEMM have the same contract.
#![allow(unused_macros, unused_imports)] // every test uses a part

/// Tests every documented error of a product kernel; the caller has a function `plan(isa, m, k, epilogue)`.
macro_rules! product_errors {
    ($name:literal, $desc:ident { $($field:ident: $value:expr),* }, $kernel:ident, $weights:ident) => {
        mod errors {
                    use super::*;

            struct Fixture {
                kernel: $kernel,
                weights: $weights,
                x: Vec<u8>,
            }

            const M: usize = 5;
            const K: usize = 6;
            const N: usize = 7;

            fn fixture(isa: Isa) -> Fixture {
                let plan = plan(isa, M, K, Epilogue::f32(false));
                Fixture {
                    kernel: $kernel::compile(plan).unwrap(),
                    weights: $weights::pack(&plan, &[1; M * K], &[RowParams::default(); M]).unwrap(),
                    x: vec![0; elements(K, N)],
                }
            }

            impl Fixture {
                fn run(&self, x: &[u8], tokens: usize, out: Output<'_>) -> Result<(), KernelError> {
                    self.kernel.run(&self.weights, x, tokens, out, Parallel::Serial)
                }
            }

            #[test]
            fn dimensions_out_of_range() {
                for isa in tiers() {
                    for (m, k, dimension, value) in
                        [(0, 4, "M", 0), (4, 0, "K", 0), (4, MAX_K + 1, "K", MAX_K + 1), (usize::MAX, 4, "M", usize::MAX)]
                    {
                        let error = $desc { m, k, $($field: $value,)* epilogue: Epilogue::f32(false) }.plan(isa).unwrap_err();
                        assert!(
                            matches!(error, KernelError::Dimension { kernel: $name, dimension: d, found, .. }
                                if d == dimension && found == value),
                            "{error}"
                        );
                    }
                }
            }

            #[test]
            fn bf16_output() {
                let epilogue = Epilogue { sink: Sink::bf16(), ..Epilogue::f32(false) };
                let error = $desc { m: M, k: K, $($field: $value,)* epilogue }.plan(Isa::Portable).unwrap_err();
                let expected = "given bf16 output of an integer product, expected 8-bit or f32 output";
                assert_eq!(error.to_string(), format!("{}: {expected}", $name));
            }

            #[test]
            fn no_tokens() {
                for isa in tiers() {
                    let f = fixture(isa);
                    let error = f.run(&[], 0, Output::F32(&mut [])).unwrap_err();
                    assert_eq!(error.to_string(), concat!($name, ": N is 0, expected at least 1"));
                }
            }

            #[test]
            fn token_counts_whose_buffers_cannot_exist() {
                for isa in tiers() {
                    let f = fixture(isa);
                    for tokens in [usize::MAX, usize::MAX / 8, 1 << (usize::BITS - 2)] {
                        let error = f.run(&[], tokens, Output::F32(&mut [])).unwrap_err();
                        assert!(matches!(error, KernelError::Length { buffer: "x", found: 0, .. }), "{error}");
                    }
                }
            }

            #[test]
            fn wrong_lengths() {
                for isa in tiers() {
                    let f = fixture(isa);
                    let name = f.kernel.plan().name();
                    let (x_len, out_len) = (elements(K, N), elements(M, N));
                    for wrong in [0, x_len - 1, x_len + 1] {
                        let error = f.run(&vec![0; wrong], N, Output::F32(&mut vec![0.0; out_len])).unwrap_err();
                        assert_eq!(error.to_string(), format!("{name}: x has {wrong} elements, expected {x_len}"));
                    }
                    for wrong in [0, out_len - 1, out_len + 1] {
                        let error = f.run(&f.x, N, Output::F32(&mut vec![0.0; wrong])).unwrap_err();
                        assert_eq!(error.to_string(), format!("{name}: output has {wrong} elements, expected {out_len}"));
                    }
                    // More tokens than one tile: both buffers are too short, x is named first.
                    let error = f.run(&f.x, 65, Output::F32(&mut vec![0.0; out_len])).unwrap_err();
                    assert!(matches!(error, KernelError::Length { buffer: "x", .. }), "{error}");
                }
            }

            #[test]
            fn wrong_kind_of_output() {
                for isa in tiers() {
                    let f = fixture(isa);
                    let error = f.run(&f.x, N, Output::Bytes(&mut vec![0; elements(M, N)])).unwrap_err();
                    let expected = "given an output of bytes, expected an output of f32";
                    assert_eq!(error.to_string(), format!("{}: {expected}", f.kernel.plan().name()));
                }
            }

            #[test]
            fn weights_of_another_shape() {
                for isa in tiers() {
                    let f = fixture(isa);
                    let other = plan(isa, M, K + 1, Epilogue::f32(false));
                    let other = $weights::pack(&other, &[1; M * (K + 1)], &[RowParams::default(); M]).unwrap();
                    let mut out = vec![0.0; elements(M, N)];
                    let error = f.kernel.run(&other, &f.x, N, Output::F32(&mut out), Parallel::Serial).unwrap_err();
                    let expected = "given weights of M=5 K=7, expected M=5 K=6";
                    assert_eq!(error.to_string(), format!("{}: {expected}", f.kernel.plan().name()));
                }
            }

            #[test]
            fn weights_and_parameters_that_do_not_fit() {
                for isa in tiers() {
                    let plan = plan(isa, M, K, Epilogue::f32(false));
                    let rows = [RowParams::default(); M];
                    for wrong in [0, M * K - 1, M * K + 1] {
                        let error = $weights::pack(&plan, &vec![1; wrong], &rows).unwrap_err();
                        assert!(
                            matches!(&error, KernelError::Length { buffer: "weights", found, expected: 30, .. } if *found == wrong),
                            "{error}"
                        );
                    }
                    let error = $weights::pack(&plan, &[1; M * K], &rows[1..]).unwrap_err();
                    assert!(
                        matches!(error, KernelError::Length { buffer: "row parameters", found: 4, expected: 5, .. }),
                        "{error}"
                    );
                }
            }

            #[test]
            fn arithmetic_that_does_not_fit() {
                for isa in tiers() {
                    let float = Epilogue::f32(true);
                    let desc = $desc { m: M, k: K, $($field: $value,)* epilogue: float.fixed() };
                    let expected = "given f32 output in 16-bit arithmetic, expected f32 output in f32 arithmetic, or 8-bit output";
                    assert_eq!(desc.plan(isa).unwrap_err().to_string(), format!("{}: {expected}", $name));

                    let plan = plan(isa, M, K, Epilogue::requantize(PanelLayout::Plain, Sign::Unsigned).fixed());
                    let mut rows = [RowParams::default(); M];
                    rows[3].multiplier = 0.5;
                    let error = $weights::pack(&plan, &[1; M * K], &rows).unwrap_err();
                    assert!(
                        matches!(error, KernelError::Parameter { parameter: "multiplier", row: 3, found: 0.5, .. }),
                        "{error}"
                    );
                    assert!(error.to_string().starts_with(&plan.name()), "{error}");
                }
            }

            #[test]
            fn code_of_another_plan() {
                let cache = KernelCache::default();
                for isa in tiers() {
                    let plans = [Epilogue::f32(false), Epilogue::f32(true)].map(|e| plan(isa, M, K, e));
                    let compiled = cache.compile_one(&plans[0]).unwrap();
                    let result = $kernel::new(plans[1], compiled);
                    match isa {
                        Isa::Portable => assert!(result.unwrap().code().is_none()),
                        _ => assert!(matches!(result, Err(KernelError::Mismatch { .. })), "{result:?}"),
                    }
                    let without_code = cache.compile_one(&plan(Isa::Portable, M, K, Epilogue::f32(false))).unwrap();
                    if isa != Isa::Portable {
                        let error = $kernel::new(plans[0], without_code).unwrap_err();
                        assert!(error.to_string().ends_with("given no code, expected its own code"), "{error}");
                    }
                }
            }
        }
    };
}

pub(crate) use product_errors;
