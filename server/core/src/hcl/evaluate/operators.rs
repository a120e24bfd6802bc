//! Operators.

use std::cmp::Ordering;

use hcl::edit::expr::{BinaryOp, BinaryOperator, Expression, UnaryOp, UnaryOperator};

use crate::hcl::tree::ValueKind;

use super::values::{self, Number};
use super::{Evaluator, Fault, Outcome};

impl Evaluator<'_> {
    pub(super) fn unary(&mut self, operation: &UnaryOp, source: &str) -> Outcome {
        let value = self.expression(&operation.expr, source)?;
        match *operation.operator {
            UnaryOperator::Not => Ok(ValueKind::Flag(!values::to_flag(&value, "what stands behind `!`")?)),
            UnaryOperator::Neg => match values::to_number(&value, "what stands behind `-`")? {
                Number::Integer(number) => {
                    number.checked_neg().map(ValueKind::Integer).ok_or_else(beyond_64_bits)
                }
                Number::Float(number) => values::from_float(-number),
            },
        }
    }

    /// Evaluates a chain of binary operators. The syntax tree of a chain is nested to the left; a loop walks it, so
    /// that the length of the chain does not matter.
    pub(super) fn binary(&mut self, operation: &BinaryOp, source: &str) -> Outcome {
        let mut chain = vec![operation];
        let mut first = &operation.lhs_expr;
        while let Expression::BinaryOp(inner) = first {
            chain.push(inner);
            first = &inner.lhs_expr;
        }
        let mut value = self.expression(first, source)?;
        for operation in chain.into_iter().rev() {
            self.budget.steps(1)?;
            value = self.operate(value, operation, source)?;
        }
        Ok(value)
    }

    fn operate(&mut self, left: ValueKind, operation: &BinaryOp, source: &str) -> Outcome {
        let operator = *operation.operator.value();
        let sign = operator.as_str();
        let before = format!("what stands before `{sign}`");
        let within_left = |fault: Fault| fault.within(&operation.lhs_expr);
        if matches!(operator, BinaryOperator::And | BinaryOperator::Or) {
            let left = values::to_flag(&left, &before).map_err(within_left)?;
            if left == (operator == BinaryOperator::Or) {
                return Ok(ValueKind::Flag(left));
            }
        }
        let right = self.expression(&operation.rhs_expr, source)?;
        let behind = format!("what stands behind `{sign}`");
        let within_right = |fault: Fault| fault.within(&operation.rhs_expr);
        match operator {
            BinaryOperator::And | BinaryOperator::Or => {
                values::to_flag(&right, &behind).map(ValueKind::Flag).map_err(within_right)
            }
            BinaryOperator::Eq | BinaryOperator::NotEq => {
                self.budget.check(&left)?;
                let equal = values::equal(&left, &right);
                Ok(ValueKind::Flag(equal == (operator == BinaryOperator::Eq)))
            }
            _ => {
                let left = values::to_number(&left, &before).map_err(within_left)?;
                let right = values::to_number(&right, &behind).map_err(within_right)?;
                of_numbers(left, operator, right)
            }
        }
    }
}

fn of_numbers(left: Number, operator: BinaryOperator, right: Number) -> Outcome {
    let order = left.compare(right);
    let flag = |flag| Ok(ValueKind::Flag(flag));
    match operator {
        BinaryOperator::Less => return flag(order == Ordering::Less),
        BinaryOperator::LessEq => return flag(order != Ordering::Greater),
        BinaryOperator::Greater => return flag(order == Ordering::Greater),
        BinaryOperator::GreaterEq => return flag(order != Ordering::Less),
        _ => {}
    }
    if matches!(operator, BinaryOperator::Div | BinaryOperator::Mod) && right.as_f64() == 0.0 {
        return Err("nothing can be divided by zero".into());
    }
    if let (Number::Integer(left), Number::Integer(right)) = (left, right) {
        let whole = match operator {
            BinaryOperator::Plus => left.checked_add(right),
            BinaryOperator::Minus => left.checked_sub(right),
            BinaryOperator::Mul => left.checked_mul(right),
            BinaryOperator::Mod => left.checked_rem(right),
            _ => match left.checked_rem(right) {
                Some(0) => left.checked_div(right),
                Some(_) => return values::from_float(left as f64 / right as f64),
                None => None,
            },
        };
        return whole.map(ValueKind::Integer).ok_or_else(beyond_64_bits);
    }
    let (left, right) = (left.as_f64(), right.as_f64());
    values::from_float(match operator {
        BinaryOperator::Plus => left + right,
        BinaryOperator::Minus => left - right,
        BinaryOperator::Mul => left * right,
        BinaryOperator::Mod => left % right,
        _ => left / right,
    })
}

fn beyond_64_bits() -> Fault {
    "the result is beyond a whole number of 64 bits".into()
}
