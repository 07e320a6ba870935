//! The LSTM of `examples/lanes` as terms: good after a few of them, and the better the more.

use std::path::{Path, PathBuf};

use lepid::driver::arrays;
use lepid::{CompileOptions, Model, Session, SessionOptions, TensorView};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../examples/lanes")
        .join(name)
}

/// Drives, a step after the other: the root mean square of the error of the steering over that of
/// the steering, behind the first steps.
fn error(model: &str, terms: Option<i64>) -> f64 {
    let (seen, wanted) = recorded();
    let options = CompileOptions::default()
        .state("hidden", "hidden_next")
        .state("cell", "cell_next");
    let program = Model::load(file(model))
        .unwrap()
        .compile(&options)
        .unwrap()
        .program()
        .unwrap();
    let mut session = Session::new(&program, &SessionOptions::default()).unwrap();
    let (mut errors, mut squares) = (0.0, 0.0);
    for (seen, wanted) in seen.chunks(STEPS * SEEN).zip(wanted.chunks(STEPS)) {
        session.reset_states();
        for (step, (seen, &wanted)) in seen.chunks(SEEN).zip(wanted).enumerate() {
            let mut inputs = vec![TensorView::new(&[1, 1, SEEN], seen).unwrap()];
            if let Some(terms) = &terms {
                inputs.push(TensorView::new(&[], std::slice::from_ref(terms)).unwrap());
                inputs.push(TensorView::new(&[], &[f32::INFINITY]).unwrap());
            }
            let found = session.run_views(&inputs).unwrap();
            if let Some(terms) = terms {
                assert_eq!(found[1].to_i64s(), [terms]);
            }
            if step >= 4 {
                errors += (found[0].to_f64s()[0] - f64::from(wanted)).powi(2);
                squares += f64::from(wanted).powi(2);
            }
        }
    }
    (errors / squares).sqrt()
}

/// What is seen and what is to be steered, drive after drive.
fn recorded() -> (Vec<f32>, Vec<f32>) {
    let arrays = arrays::read_npz(&file("test.npz")).unwrap();
    let array = |name: &str| {
        let (_, array) = arrays.iter().find(|(n, _)| n == name).unwrap();
        array.values::<f32>().into_owned()
    };
    (array("seen"), array("wanted"))
}

const STEPS: usize = 48;
const SEEN: usize = 24;

#[test]
fn few_terms_steer_nearly_as_well_as_all_weights() {
    let dense = error("model.onnx", None);
    let of = |terms| error("anytime.toml", Some(terms)) / dense;
    let (few, some, most) = (of(8), of(16), of(64));
    assert!(some < 1.02 && most < 1.02, "{few} {some} {most}");
    assert!(few > some, "{few} {some}");
}
