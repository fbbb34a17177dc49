//! What `main` returns.

use std::error::Error;
use std::fmt;

/// An error that `main` may return: the program prints its message, and those of its causes.
///
/// A `main` that returns another error type prints how the error is built, `Hub(NotBuilt)`, and not what it says. `?` converts every
/// error to this type.
///
/// ```no_run
/// fn main() -> Result<(), lacuna::Failure> {
///     let encoder = lacuna::Encoder::open("minilm.lacuna")?; // Error: minilm.lacuna: cannot open: No such file or directory
///     println!("{} features", encoder.config().hidden_size);
///     Ok(())
/// }
/// ```
pub struct Failure(Box<dyn Error + Send + Sync>);

impl<E: Error + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure(Box::new(error))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = self.0.to_string();
        f.write_str(&said)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            // Most messages hold that of their cause.
            let message = error.to_string();
            if !said.contains(&message) {
                write!(f, ": {message}")?;
            }
            (said, cause) = (message, error.source());
        }
        Ok(())
    }
}

/// The message, as `main` prints it.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn main_prints_the_message() {
        let fails = || -> Result<(), Failure> { Err(crate::Error::Cancelled)? };
        let failure = fails().unwrap_err();
        assert_eq!(format!("{failure:?}"), crate::Error::Cancelled.to_string());
        let missing = crate::Encoder::open("no/such.lacuna").map(drop).map_err(Failure::from).unwrap_err();
        let text = format!("{missing:?}");
        assert!(text.starts_with("no/such.lacuna: cannot open: "), "{text}");
        assert_eq!(text.matches("cannot open").count(), 1);
    }
}
