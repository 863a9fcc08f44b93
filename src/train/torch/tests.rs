use tch::{Device, Kind, Tensor};

use super::{
    AdamW, Backend, Kernels, Moments, attention_backend, gated, gradients, grant, linear, norm,
    number, version,
};
use crate::error::TrainError;

#[test]
fn the_library_is_the_one_that_tch_is_made_for() {
    assert!(version().starts_with("2.11.0"), "{}", version());
}

#[test]
fn a_gradient_goes_back_through_its_output() {
    let x = Tensor::from_slice(&[1.0_f32, 2.0, 3.0]).set_requires_grad(true);
    let unused = Tensor::from_slice(&[1.0_f32]).set_requires_grad(true);
    let y = &x * &x;
    let weight = Tensor::from_slice(&[1.0_f32, 10.0, 100.0]);
    let found = gradients(&[&y], &[&weight], &[&x, &unused]).unwrap();
    let gradient = Vec::<f32>::try_from(found[0].as_ref().unwrap()).unwrap();
    assert_eq!(gradient, [2.0, 40.0, 600.0]);
    assert!(found[1].is_none());
}

/// Widths that are whole eights and that are not, outputs that fill tiles and that do not.
#[test]
fn a_product_of_few_rows_is_that_of_many() {
    tch::manual_seed(5);
    let numbers = |sizes: &[i64]| Tensor::randn(sizes, (Kind::Float, Device::Cpu));
    let exact = |tensor: &Tensor| tensor.to_kind(Kind::Double);
    let widths = [(64, 192), (7, 5), (37, 1031), (1, 1), (576, 9), (100, 50)];
    // In half precision it is summed as in single, and rounded at the end.
    let kinds = [(Kind::Float, 1e-5), (Kind::BFloat16, 5e-3)];
    for ((inputs, outputs), (kind, near)) in
        widths.into_iter().flat_map(|width| kinds.map(|kind| (width, kind)))
    {
        let numbers = |sizes: &[i64]| numbers(sizes).to_kind(kind);
        let (weight, bias) = (numbers(&[outputs, inputs]), numbers(&[outputs]));
        // Rows that do not lie one after the other.
        let all = numbers(&[inputs, 11]).transpose(0, 1);
        for (bias, rows) in (1..=11).flat_map(|rows| [(None, rows), (Some(&bias), rows)]) {
            let input = all.narrow(0, 0, rows);
            let found = tch::no_grad(|| linear(&input, &weight, bias)).unwrap();
            let expected = exact(&input).linear(&exact(&weight), bias.map(exact));
            assert_eq!(found.kind(), kind);
            let is_close = exact(&found).allclose(&expected, near, near, false);
            assert!(is_close, "{rows} rows, {inputs} inputs, {outputs} outputs, {kind:?}");
        }
    }
    let error = linear(&numbers(&[2, 3]), &numbers(&[4, 5]), None).unwrap_err();
    assert!(matches!(error, TrainError::Torch(_)), "{error}");
}

#[test]
fn an_operation_with_a_number_fails_as_any_other() {
    let many = Tensor::ones([4_096], (Kind::Float, Device::Cpu));
    let two = number(2.0).unwrap();
    assert_eq!(many.f_mul(&two).unwrap().kind(), Kind::Float);
    assert_eq!(many.to_kind(Kind::BFloat16).f_mul(&two).unwrap().kind(), Kind::BFloat16);
    grant(Some(4_096));
    let failed = many.f_mul(&two).map_err(TrainError::from);
    grant(None);
    assert!(matches!(failed, Err(TrainError::OutOfMemory(_))), "{failed:?}");
}

/// Kernels for matrix units take memory in a way of their own.
#[test]
fn memory_that_is_counted_does_for_products_in_half_precision() {
    super::keep_freed();
    tch::manual_seed(3);
    let [one, other] = [0; 2].map(|_| Tensor::randn([96, 96], (Kind::BFloat16, Device::Cpu)));
    let found = one.f_matmul(&other).unwrap().to_kind(Kind::Float);
    let exact = one.to_kind(Kind::Float).matmul(&other.to_kind(Kind::Float));
    assert!(found.allclose(&exact, 0.02, 0.2, false));
    assert_eq!(Tensor::zeros([0], (Kind::Float, Device::Cpu)).numel(), 0);
}

#[test]
fn a_gated_layer_gives_the_gradients_that_autograd_gives() {
    tch::manual_seed(11);
    let leaf = |sizes: &[i64], is_trained: bool| {
        Tensor::randn(sizes, (Kind::Double, Device::Cpu)).set_requires_grad(is_trained)
    };
    for (is_weight_trained, has_adapter) in [(true, false), (false, true), (true, true)] {
        let (gate, up) = (leaf(&[5, 7], true), leaf(&[5, 7], true));
        let weight = leaf(&[3, 7], is_weight_trained);
        let (down, rise) = (leaf(&[2, 7], true), leaf(&[3, 2], true));
        let product = gate.silu() * &up;
        let mut expected = product.linear::<Tensor>(&weight, None);
        let mut inputs = vec![&gate, &up];
        if is_weight_trained {
            inputs.push(&weight);
        }
        if has_adapter {
            let thin = product.linear::<Tensor>(&down, None);
            expected += thin.linear::<Tensor>(&rise, None) * 0.5;
            inputs.extend([&down, &rise]);
        }
        let adapter = has_adapter.then_some(([&down, &rise], 0.5));
        let found = gated([&gate, &up, &weight], adapter).unwrap();
        assert!(found.allclose(&expected, 1e-12, 1e-12, false));
        let back = Tensor::randn([5, 3], (Kind::Double, Device::Cpu));
        let ours = gradients(&[&found], &[&back], &inputs).unwrap();
        let theirs = gradients(&[&expected], &[&back], &inputs).unwrap();
        for (ours, theirs) in ours.iter().zip(&theirs) {
            let (ours, theirs) = (ours.as_ref().unwrap(), theirs.as_ref().unwrap());
            assert!(ours.allclose(theirs, 1e-12, 1e-12, false));
        }
    }
}

#[test]
fn a_norm_gives_the_gradients_that_autograd_gives() {
    tch::manual_seed(12);
    for kind in [Kind::Float, Kind::BFloat16] {
        let tolerance = if kind == Kind::Float { 1e-5 } else { 0.05 };
        let leaf =
            |sizes: &[i64]| Tensor::randn(sizes, (kind, Device::Cpu)).set_requires_grad(true);
        let (stream, weight) = (leaf(&[3, 4, 8]), leaf(&[8]));
        let wide = stream.to_kind(Kind::Float);
        let scale = wide.square().mean_dim(&[-1_i64][..], true, Kind::Float) + 1e-6;
        let expected = (&wide * scale.rsqrt()).to_kind(kind) * &weight;
        let found = norm(&stream, &weight, 1e-6).unwrap();
        assert!(found.equal(&expected), "{kind:?}");
        let back = Tensor::randn([3, 4, 8], (kind, Device::Cpu));
        let inputs = [&stream, &weight];
        let ours = gradients(&[&found], &[&back], &inputs).unwrap();
        let theirs = gradients(&[&expected], &[&back], &inputs).unwrap();
        for (ours, theirs) in ours.iter().zip(&theirs) {
            let (ours, theirs) = (ours.as_ref().unwrap(), theirs.as_ref().unwrap());
            assert!(ours.allclose(theirs, tolerance, tolerance, false), "{kind:?}");
        }
    }
}

/// The most memory that this process ever had, in bytes.
#[cfg(target_os = "linux")]
fn resident_most() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() << 10
}

/// In a process of its own, where nobody else takes blocks.
#[test]
#[ignore = "started by the test below"]
#[cfg(target_os = "linux")]
fn a_child_gives_blocks_back() {
    super::keep_freed();
    let numbers = |count: i64| Tensor::ones([count], (Kind::Float, Device::Cpu));
    // One that was given back is the next of its size: the kernel has not zeroed it meanwhile.
    drop(numbers(1 << 20));
    let next = Tensor::empty([1_i64 << 20], (Kind::Float, Device::Cpu));
    assert_eq!(next.double_value(&[12_345]), 1.0);
    drop(next);
    // What was asked for and could not be had lets no more wait than before.
    assert!(Tensor::f_empty([1_i64 << 50], (Kind::Float, Device::Cpu)).is_err());
    // Of blocks of many sizes, one after the other, no more stay than the largest and what is spare.
    let before = resident_most();
    for count in (2 << 20..16 << 20).step_by(1 << 18) {
        drop(numbers(count));
    }
    let grown = resident_most() - before;
    assert!(grown < (128 << 20) + (24 << 20), "{grown} bytes where that is 128 MiB");
}

#[test]
#[cfg(target_os = "linux")]
fn what_was_given_back_is_kept_and_little_more_than_was_in_use() {
    let child = ["--exact", "torch::tests::a_child_gives_blocks_back", "--ignored", "--nocapture"];
    let program = std::env::current_exe().unwrap();
    let output = std::process::Command::new(program).args(child).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{output:?}");
}

#[test]
fn what_takes_no_gradient_is_said_and_nothing_crashes() {
    let constant = Tensor::from_slice(&[1.0_f32]);
    let x = Tensor::from_slice(&[1.0_f32]).set_requires_grad(true);
    let told = |result: crate::Result<Vec<Option<Tensor>>>| result.unwrap_err().to_string();
    assert!(told(gradients(&[&constant], &[&constant], &[&x])).contains("depends on nothing"));
    assert!(told(gradients(&[&(&x * 2.0)], &[&constant], &[&constant])).contains("no gradient"));
    assert!(told(gradients(&[&(&x * 2.0)], &[], &[&x])).contains("weights"));
}

/// The formula of the paper, by hand.
#[test]
fn a_step_of_adamw_is_the_one_of_the_paper() {
    let numbers = AdamW { rate: 0.1, beta1: 0.9, beta2: 0.95, decay: 0.01, epsilon: 1e-8 };
    let parameter = Tensor::from_slice(&[1.0_f32, -2.0]);
    let gradient = Tensor::from_slice(&[0.5_f32, -0.25]);
    let (mean, square) = (Tensor::zeros_like(&parameter), Tensor::zeros_like(&parameter));
    let mut expected = [1.0_f64, -2.0];
    let (mut means, mut squares) = ([0.0_f64; 2], [0.0_f64; 2]);
    for step in 1..=3 {
        let count = Tensor::from(step as f32);
        let moments = Moments {
            parameters: &[&parameter],
            gradients: &[&gradient],
            means: &[&mean],
            squares: &[&square],
            steps: &[&count],
        };
        numbers.step(&moments).unwrap();
        for (at, gradient) in [0.5_f64, -0.25].into_iter().enumerate() {
            means[at] = 0.9 * means[at] + 0.1 * gradient;
            squares[at] = 0.95 * squares[at] + 0.05 * gradient * gradient;
            let mean = means[at] / (1.0 - 0.9_f64.powi(step));
            let square = squares[at] / (1.0 - 0.95_f64.powi(step));
            expected[at] -= 0.1 * 0.01 * expected[at];
            expected[at] -= 0.1 * mean / (square.sqrt() + 1e-8);
        }
    }
    let found = Vec::<f32>::try_from(&parameter).unwrap();
    for (found, expected) in found.iter().zip(expected) {
        assert!((f64::from(*found) - expected).abs() < 1e-6, "{found} {expected}");
    }
}

#[test]
fn attention_of_the_processor_does_not_hold_the_matrix_of_scores() {
    Kernels::default().apply().unwrap();
    let query = Tensor::randn([1, 4, 64, 16], (Kind::Float, Device::Cpu));
    let key = Tensor::randn([1, 2, 64, 16], (Kind::Float, Device::Cpu));
    assert_eq!(attention_backend(&query, &key, &key).unwrap(), Backend::Flash);
}

#[test]
fn an_operation_that_cannot_be_is_an_error() {
    let error =
        Tensor::from_slice(&[1.0_f32]).f_matmul(&Tensor::zeros([2, 2], (Kind::Float, Device::Cpu)));
    assert!(matches!(TrainError::from(error.unwrap_err()), TrainError::Torch(_)));
}
