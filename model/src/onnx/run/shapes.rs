//! Shapes of what depends on looked-up rows.

use super::super::node::{input, whole};
use super::product::product_dims;
use super::runner::{Runner, Stop, shape};
use super::value::{Value, broadcast};
use super::{movement, reduce};
use crate::proto::NodeProto;

impl Runner<'_> {
    fn dims(&self, node: &NodeProto, i: usize) -> Result<Vec<usize>, Stop> {
        let name = input(node, i).ok_or_else(|| Stop::from(format!("no input {i}")))?;
        if let Some(dims) = self.graph.constant_dims(name, 0).filter(|_| self.graph.is_constant(name)) {
            return dims.into_iter().map(|d| usize::try_from(d).map_err(|_| Stop::from("a negative size"))).collect();
        }
        Ok(self.get(name, 0)?.dims)
    }

    /// What a node makes, without elements.
    pub(super) fn shapes(&self, node: &NodeProto) -> Result<Vec<Value>, Stop> {
        let limit = usize::MAX;
        let x = || self.dims(node, 0).map(Value::shape);
        let get = |i: usize| match input(node, i) {
            Some(name) => self.get(name, 0),
            None => Err(Stop::from(format!("no input {i}"))),
        };
        let optional = |i: usize| input(node, i).map(|name| self.get(name, 0)).transpose();
        let one = |value: Value| Ok(vec![value]);
        let of = |dims: Vec<usize>| Ok(vec![Value::shape(dims)]);
        match &*node.op_type {
            "Shape" => one(shape(node, &self.dims(node, 0)?)),
            "Gather" => one(movement::gather(node, &x()?, &Value::shape(self.dims(node, 1)?), limit)?),
            "MatMul" | "MatMulInteger" => of(product_dims(&self.dims(node, 0)?, &self.dims(node, 1)?, limit)?.0),
            "QLinearMatMul" => of(product_dims(&self.dims(node, 0)?, &self.dims(node, 3)?, limit)?.0),
            "Gemm" => {
                let (a, b) = (self.dims(node, 0)?, self.dims(node, 1)?);
                let by_output = whole(node, "transB").unwrap_or(0) != 0;
                match (&a[..], &b[..]) {
                    ([outer @ .., _], &[rows, cols]) => of([outer, &[if by_output { rows } else { cols }]].concat()),
                    _ => Err(format!("operands of the shapes {a:?} and {b:?}").into()),
                }
            }
            "Add" | "Sub" | "Mul" | "Div" | "Pow" | "Min" | "Max" => {
                of(broadcast(&self.dims(node, 0)?, &self.dims(node, 1)?, limit)?)
            }
            "Where" => {
                let both = broadcast(&self.dims(node, 0)?, &self.dims(node, 1)?, limit)?;
                of(broadcast(&both, &self.dims(node, 2)?, limit)?)
            }
            "Reshape" => one(movement::reshape(node, &x()?, &get(1)?)?),
            "Flatten" => one(movement::flatten(node, &x()?)?),
            "Squeeze" => one(movement::squeeze(&x()?, movement::axes(node, optional(1)?.as_ref())?)?),
            "Unsqueeze" => one(movement::unsqueeze(&x()?, movement::axes(node, optional(1)?.as_ref())?)?),
            "Transpose" => one(movement::transpose(node, &x()?)?),
            "Expand" => one(movement::expand(&x()?, &get(1)?, limit)?),
            "Split" => Ok(movement::split(node, &x()?, optional(1)?.as_ref())?),
            "Slice" => {
                let [a, b, c, d] = [1, 2, 3, 4].map(optional);
                let (a, b, c, d) = (a?, b?, c?, d?);
                one(movement::slice(node, &x()?, [a.as_ref(), b.as_ref(), c.as_ref(), d.as_ref()])?)
            }
            "Concat" => {
                let parts = (0..node.input.len()).map(|i| self.dims(node, i).map(Value::shape));
                one(movement::concat(node, &parts.collect::<Result<Vec<_>, _>>()?)?)
            }
            "DynamicQuantizeLinear" => Ok(vec![x()?, Value::shape(vec![]), Value::shape(vec![])]),
            operator if operator.starts_with("Reduce") => {
                let (x, axes) = (x()?, movement::axes(node, optional(1)?.as_ref())?);
                match reduce::reduced_axes(node, axes, x.dims.len())? {
                    Some(axes) => match reduce::reduce(node, &x, &axes) {
                        Some(found) => one(found?),
                        None => Err(format!("operator {operator}, which is not run").into()),
                    },
                    None => one(x),
                }
            }
            _ => one(x()?),
        }
    }
}
