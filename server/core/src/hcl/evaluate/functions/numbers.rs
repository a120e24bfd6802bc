//! Functions on numbers.

use std::cmp::Ordering;

use crate::hcl::tree::ValueKind;

use super::super::call::Call;
use super::super::values::{self, Number};
use super::super::{Fault, Outcome};
use super::{Function, at_least, exactly};

pub(super) const TABLE: &[Function] = &[
    exactly("abs", 1, |call| match call.number(0)? {
        Number::Integer(number) => number
            .checked_abs()
            .map(ValueKind::Integer)
            .ok_or_else(|| Fault::from("the result is beyond 64 bits")),
        Number::Float(number) => values::from_float(number.abs()),
    }),
    exactly("ceil", 1, |call| by(call, f64::ceil)),
    exactly("floor", 1, |call| by(call, f64::floor)),
    exactly("signum", 1, |call| {
        let order = call.number(0)?.compare(Number::Integer(0));
        Ok(ValueKind::Integer(match order {
            Ordering::Less => -1,
            Ordering::Equal => 0,
            Ordering::Greater => 1,
        }))
    }),
    at_least("max", 1, |call| extreme(call, Ordering::Greater)),
    at_least("min", 1, |call| extreme(call, Ordering::Less)),
    exactly("sum", 1, sum),
    exactly("pow", 2, pow),
    exactly("log", 2, |call| {
        let (number, base) = (call.number(0)?.as_f64(), call.number(1)?.as_f64());
        values::from_float(number.ln() / base.ln())
    }),
    exactly("parseint", 2, parseint),
    exactly("tonumber", 1, |call| match call.take(0) {
        ValueKind::Null => Ok(ValueKind::Null),
        value => kind(values::to_number(&value, "argument 1 of `tonumber`")?),
    }),
];

fn kind(number: Number) -> Outcome {
    match number {
        Number::Integer(number) => Ok(ValueKind::Integer(number)),
        Number::Float(number) => values::from_float(number),
    }
}

fn by(call: &mut Call<'_>, round: fn(f64) -> f64) -> Outcome {
    match call.number(0)? {
        whole @ Number::Integer(_) => kind(whole),
        Number::Float(number) => values::from_float(round(number)),
    }
}

fn extreme(call: &mut Call<'_>, wanted: Ordering) -> Outcome {
    let mut extreme = call.number(0)?;
    for at in 1..call.count() {
        let number = call.number(at)?;
        if number.compare(extreme) == wanted {
            extreme = number;
        }
    }
    kind(extreme)
}

fn sum(call: &mut Call<'_>) -> Outcome {
    let mut sum = Number::Integer(0);
    for item in call.list(0)? {
        let number = values::to_number(&item.kind, "every item of argument 1 of `sum`")?;
        sum = match (sum, number) {
            (Number::Integer(one), Number::Integer(two)) => {
                Number::Integer(one.checked_add(two).ok_or_else(|| Fault::from("the sum is beyond 64 bits"))?)
            }
            _ => Number::Float(sum.as_f64() + number.as_f64()),
        };
    }
    kind(sum)
}

fn pow(call: &mut Call<'_>) -> Outcome {
    let (base, power) = (call.number(0)?, call.number(1)?);
    if let (Number::Integer(base), Number::Integer(power)) = (base, power)
        && let Some(whole) = u32::try_from(power).ok().and_then(|power| base.checked_pow(power))
    {
        return Ok(ValueKind::Integer(whole));
    }
    values::from_float(base.as_f64().powf(power.as_f64()))
}

fn parseint(call: &mut Call<'_>) -> Outcome {
    let (text, base) = (call.text(0)?, call.integer(1)?);
    let Some(base) = u32::try_from(base).ok().filter(|base| (2..=36).contains(base)) else {
        return call.refuse(1, "is the base of a number, from 2 to 36");
    };
    match i64::from_str_radix(&text, base) {
        Ok(number) => Ok(ValueKind::Integer(number)),
        Err(_) => call.refuse(0, &format!("is no whole number of 64 bits with the base {base}")),
    }
}
