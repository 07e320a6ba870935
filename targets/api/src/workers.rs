//! Threads that several programs share.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// Threads for programs that run by turns, as the stages of a cascade do: a session that is given
/// them starts none of its own. Which kind of threads they are, the target decides that is first to
/// ask; clones share them. Runs at the same time are right, but may each have one thread alone.
#[derive(Clone, Default)]
pub struct Workers(Arc<OnceLock<Box<dyn Any + Send + Sync>>>);

impl Workers {
    /// The threads, made if nobody has asked before; `None` if those that are there are of another
    /// kind.
    pub fn get_or_start<T: Any + Send + Sync + Clone>(
        &self,
        start: impl FnOnce() -> T,
    ) -> Option<T> {
        let any = self.0.get_or_init(|| Box::new(start()));
        any.downcast_ref::<T>().cloned()
    }
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Workers")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_what_was_started_first() {
        let workers = Workers::default();
        assert_eq!(workers.clone().get_or_start(|| 1u32), Some(1));
        assert_eq!(workers.get_or_start(|| 2u32), Some(1));
        assert_eq!(workers.get_or_start(|| "others"), None);
    }
}
