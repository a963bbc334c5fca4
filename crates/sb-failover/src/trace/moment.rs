//! How a trace writes readings of the clock.
//!
//! [`BootTime`] has no serialized form, so that nothing which is sent or stored can hold one without a word (rule R1).
//! A field that stands in a trace says `#[serde(with = "moment")]`; no type on its way to another server or to the next
//! run of an agent may say so.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{BootTime, Term};

/// A reading as a trace holds it: to the nanosecond, for a rounded one would play to other deadlines.
#[derive(Serialize, Deserialize)]
pub(crate) struct Moment(Duration);

impl From<BootTime> for Moment {
    fn from(time: BootTime) -> Self {
        Self(time.as_duration())
    }
}

impl From<Moment> for BootTime {
    fn from(Moment(elapsed): Moment) -> Self {
        BootTime::since_boot(elapsed)
    }
}

/// Something that holds readings, and its form in a trace.
pub(crate) trait Traced: Clone {
    type Form: Serialize + for<'de> Deserialize<'de>;
    fn form(self) -> Self::Form;
    fn from_form(form: Self::Form) -> Self;
}

impl Traced for BootTime {
    type Form = Moment;

    fn form(self) -> Moment {
        self.into()
    }

    fn from_form(form: Moment) -> Self {
        form.into()
    }
}

impl Traced for (Term, BootTime) {
    type Form = (Term, Moment);

    fn form(self) -> Self::Form {
        (self.0, self.1.into())
    }

    fn from_form((term, moment): Self::Form) -> Self {
        (term, moment.into())
    }
}

impl Traced for (u64, BootTime) {
    type Form = (u64, Moment);

    fn form(self) -> Self::Form {
        (self.0, self.1.into())
    }

    fn from_form((number, moment): Self::Form) -> Self {
        (number, moment.into())
    }
}

impl<T: Traced> Traced for Option<T> {
    type Form = Option<T::Form>;

    fn form(self) -> Self::Form {
        self.map(T::form)
    }

    fn from_form(form: Self::Form) -> Self {
        form.map(T::from_form)
    }
}

pub(crate) fn serialize<T: Traced, S: Serializer>(traced: &T, serializer: S) -> Result<S::Ok, S::Error> {
    traced.clone().form().serialize(serializer)
}

pub(crate) fn deserialize<'de, T: Traced, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    T::Form::deserialize(deserializer).map(T::from_form)
}
