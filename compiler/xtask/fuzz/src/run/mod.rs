use crate::random::Random;
use crate::subject::{Subject, Verdict};
pub(crate) struct Run;
impl Run {
    pub(crate) fn new() -> Run {
        Run
    }
}
impl Subject for Run {
    const NAME: &'static str = "run";
    const EXTENSION: &'static str = "lir";
    const CHUNK: usize = 512;
    fn seeds(&self) -> usize {
        0
    }
    fn make(&self, _: &mut Random) -> Vec<u8> {
        Vec::new()
    }
    fn examine(&self, _: &[u8]) -> Verdict {
        Verdict::Accepted
    }
    fn smaller(&self, _: &[u8]) -> Vec<Vec<u8>> {
        Vec::new()
    }
}
