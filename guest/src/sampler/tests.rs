//! The chain against a naive restatement of it, draws against exact distributions, and hostile requests.

use super::*;

/// Everything off but the draw.
fn plain() -> Sampling {
    Sampling { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, ..Sampling::default() }
}

/// Logits of so many tokens, from -8 to 8, with many equal ones.
fn logits(count: usize, seed: u64) -> Vec<f32> {
    let mut random = Random::new(seed);
    (0..count).map(|_| ((random.fraction() * 256.0).floor() / 16.0 - 8.0) as f32).collect()
}

/// The chain word for word: sort everything, then cut. Tokens with their probabilities, most likely first.
fn naive(sampling: &Sampling, logits: &[f32], tokens: &[u32]) -> Vec<(u32, f64)> {
    let mut logits: Vec<f64> = logits.iter().map(|&logit| f64::from(logit)).collect();
    for &(token, bias) in &sampling.bias {
        logits[token as usize] += f64::from(bias);
    }
    let recent = &tokens[tokens.len().saturating_sub(sampling.repeat_last as usize)..];
    for token in 0..logits.len() {
        let count = recent.iter().filter(|&&recent| recent as usize == token).count();
        if count > 0 {
            let penalty = f64::from(sampling.repeat_penalty);
            logits[token] =
                if logits[token] <= 0.0 { logits[token] * penalty } else { logits[token] / penalty };
            logits[token] -=
                count as f64 * f64::from(sampling.frequency_penalty) + f64::from(sampling.presence_penalty);
        }
    }
    let mut order: Vec<(u32, f64)> = (0..).zip(logits).collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    if sampling.top_k > 0 {
        order.truncate(sampling.top_k as usize);
    }
    let softmax = |order: &[(u32, f64)], temperature: f64| -> Vec<f64> {
        let weights: Vec<f64> =
            order.iter().map(|(_, logit)| ((logit - order[0].1) / temperature).exp()).collect();
        let total: f64 = weights.iter().sum();
        weights.iter().map(|weight| weight / total).collect()
    };
    if sampling.top_p < 1.0 {
        let (mut sum, mut kept) = (0.0, 0);
        for probability in softmax(&order, 1.0) {
            sum += probability;
            kept += 1;
            if sum >= f64::from(sampling.top_p) {
                break;
            }
        }
        order.truncate(kept);
    }
    let best = order[0].1;
    order.retain(|(_, logit)| (logit - best).exp() >= f64::from(sampling.min_p));
    let probabilities = softmax(&order, f64::from(sampling.temperature));
    order.iter().map(|(token, _)| *token).zip(probabilities).collect()
}

/// What the sampler would draw from: tokens with their probabilities, most likely first.
fn distribution(sampling: &Sampling, logits: &[f32], tokens: &[u32]) -> Vec<(u32, f64)> {
    let mut sampler = Sampler::new(sampling.clone(), logits.len()).expect("sound sampling");
    sampler.sample(logits, tokens).expect("sound logits");
    let total: f64 = sampler.candidates.iter().map(|candidate| f64::from(candidate.weight)).sum();
    sampler.candidates.sort_by(by_likelihood);
    sampler
        .candidates
        .iter()
        .map(|candidate| (candidate.token, f64::from(candidate.weight) / total))
        .collect()
}

#[track_caller]
fn check(sampling: &Sampling, logits: &[f32], tokens: &[u32]) {
    let (expected, actual) = (naive(sampling, logits, tokens), distribution(sampling, logits, tokens));
    let ids = |list: &[(u32, f64)]| list.iter().map(|(token, _)| *token).collect::<Vec<_>>();
    assert_eq!(ids(&actual), ids(&expected), "{sampling:?}");
    for ((_, actual), (_, expected)) in actual.iter().zip(&expected) {
        assert!((actual - expected).abs() < 1e-5, "{actual} {expected} {sampling:?}");
    }
}

#[test]
fn the_chain_keeps_what_its_naive_restatement_keeps() {
    let tokens: Vec<u32> = (0..200).map(|index| index * 7 % 50).collect();
    for round in 0..300_u64 {
        let mut random = Random::new(round);
        let mut pick = |choices: &[f32]| choices[(random.next() % choices.len() as u64) as usize];
        let sampling = Sampling {
            temperature: pick(&[0.1, 0.8, 1.0, 2.5]),
            top_k: pick(&[0.0, 1.0, 2.0, 40.0, 999.0, 1e6]) as u32,
            top_p: pick(&[0.0, 0.31, 0.903, 0.951, 1.0]),
            min_p: pick(&[0.0, 0.051, 0.51, 1.0]),
            repeat_penalty: pick(&[1.0, 1.25, 0.5]),
            repeat_last: pick(&[0.0, 1.0, 64.0, 1e6]) as u32,
            presence_penalty: pick(&[0.0, 0.5, -0.5]),
            frequency_penalty: pick(&[0.0, 0.25, -0.25]),
            bias: if round % 3 == 0 { vec![(3, 4.0), (9, -2.0), (3, 1.0)] } else { Vec::new() },
            seed: round,
        };
        check(&sampling, &logits([64, 1000, 3000][(round % 3) as usize], round), &tokens);
    }
}

#[test]
fn top_k_selects_from_a_large_vocabulary_as_sorting_does() {
    let large = logits(131_072, 5);
    let rising: Vec<f32> = (0..131_072_u32).map(|id| id as f32 / 16384.0).collect();
    for logits in [&large, &rising] {
        for top_k in [1, 40, 5000] {
            check(&Sampling { top_k, ..plain() }, logits, &[]);
        }
    }
}

#[test]
fn draws_follow_the_exact_distribution() {
    let logits = [2.0, 1.0, 0.0, -1.0, f32::NEG_INFINITY, 1.0];
    let sampling = Sampling { temperature: 0.7, seed: 11, ..plain() };
    let expected = naive(&sampling, &logits, &[]);
    let mut sampler = Sampler::new(sampling, logits.len()).expect("sound");
    let mut counts = [0_u32; 6];
    let rounds = 100_000;
    for _ in 0..rounds {
        counts[sampler.sample(&logits, &[]).expect("sound") as usize] += 1;
    }
    assert_eq!(counts[4], 0, "an impossible token was drawn");
    let mut chi_square = 0.0;
    for (token, probability) in expected.iter().filter(|(token, _)| *token != 4) {
        let wanted = probability * f64::from(rounds);
        chi_square += (f64::from(counts[*token as usize]) - wanted).powi(2) / wanted;
    }
    // The 0.999 quantile at four degrees of freedom.
    assert!(chi_square < 18.47, "{chi_square} {counts:?}");
}

#[test]
fn random_numbers_are_uniform_and_known() {
    // splitmix64 of the seed 0, whose first outputs are published.
    assert_eq!(Random::new(0).0[..2], [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4]);
    // xoshiro256++ from the state 1, 2, 3, 4.
    let mut random = Random([1, 2, 3, 4]);
    assert_eq!(
        [random.next(), random.next(), random.next()],
        [41_943_041, 58_720_359, 3_588_806_011_781_223]
    );
    let mut random = Random::new(3);
    let mut buckets = [0_u32; 16];
    for _ in 0..160_000 {
        buckets[(random.fraction() * 16.0) as usize] += 1;
    }
    let chi_square: f64 = buckets.iter().map(|&count| (f64::from(count) - 10_000.0).powi(2) / 10_000.0).sum();
    assert!(chi_square < 37.7, "{chi_square}");
}

#[test]
fn a_seed_gives_the_same_tokens_and_another_gives_others() {
    let logits = logits(500, 1);
    let draw = |seed| {
        let mut sampler = Sampler::new(Sampling { seed, ..plain() }, logits.len()).expect("sound");
        (0..50).map(|_| sampler.sample(&logits, &[]).expect("sound")).collect::<Vec<_>>()
    };
    assert_eq!(draw(7), draw(7));
    assert_ne!(draw(7), draw(8));
}

#[test]
fn a_clone_continues_like_its_original() {
    let logits = logits(500, 2);
    let mut sampler = Sampler::new(plain(), logits.len()).expect("sound");
    sampler.sample(&logits, &[]).expect("sound");
    let mut fork = sampler.clone();
    for _ in 0..20 {
        assert_eq!(sampler.sample(&logits, &[]), fork.sample(&logits, &[]));
    }
}

#[test]
fn greedy_takes_the_most_likely_and_the_first_of_equal_ones() {
    let sampling = Sampling { temperature: 0.0, ..Sampling::default() };
    let mut sampler = Sampler::new(sampling, 5).expect("sound");
    assert_eq!(sampler.sample(&[0.0, 3.0, 1.0, 3.0, -1.0], &[]), Ok(1));
    assert_eq!(sampler.sample(&[f32::NEG_INFINITY, f32::NEG_INFINITY, -9.0, -9.0, -10.0], &[]), Ok(2));
    let mut negative = Sampler::new(Sampling { temperature: -1.0, ..Sampling::default() }, 2).expect("sound");
    assert_eq!(negative.sample(&[1.0, 2.0], &[]), Ok(1));
}

#[test]
fn penalties_follow_their_formula_within_the_last_tokens() {
    let sampling = Sampling {
        temperature: 0.0,
        repeat_penalty: 2.0,
        presence_penalty: 0.5,
        frequency_penalty: 0.25,
        repeat_last: 3,
        ..Sampling::default()
    };
    let mut sampler = Sampler::new(sampling, 4).expect("sound");
    let mut changed = vec![4.0, -1.0, 2.0, 3.0];
    // Of the last three, token 0 came twice and token 1 once; 3 is too long ago.
    sampler.adjust(&mut changed, &[3, 0, 1, 0]);
    assert_eq!(changed, [4.0 / 2.0 - 0.5 - 0.5, -2.0 - 0.25 - 0.5, 2.0, 3.0]);
    assert_eq!(sampler.sample(&[4.0, -1.0, 2.0, 3.0], &[3, 0, 1, 0]), Ok(3));
}

#[test]
fn a_bias_forces_and_forbids() {
    let force = Sampling { bias: vec![(2, 100.0)], ..Sampling::default() };
    assert_eq!(Sampler::new(force, 3).and_then(|mut sampler| sampler.sample(&[5.0, 1.0, 0.0], &[])), Ok(2));
    let forbid = Sampling { bias: vec![(0, f32::NEG_INFINITY)], temperature: 0.0, ..Sampling::default() };
    assert_eq!(Sampler::new(forbid, 3).and_then(|mut sampler| sampler.sample(&[5.0, 1.0, 0.0], &[])), Ok(1));
}

#[test]
fn hostile_logits_are_errors() {
    for temperature in [0.0, 1.0] {
        let mut sampler = Sampler::new(Sampling { temperature, ..Sampling::default() }, 3).expect("sound");
        let impossible = f32::NEG_INFINITY;
        for logits in [
            &[f32::NAN, 1.0, 2.0][..],
            &[1.0, f32::NAN, 2.0],
            &[f32::INFINITY, 1.0, 2.0],
            &[impossible, impossible, impossible],
            &[1.0, 2.0],
            &[1.0, 2.0, 3.0, 4.0],
            &[],
        ] {
            assert!(matches!(sampler.check(logits), Err(Error::Failed(_))), "{logits:?}");
            assert!(matches!(sampler.sample(logits, &[]), Err(Error::Failed(_))), "{logits:?}");
        }
        // Tokens that the vocabulary does not have, and the largest numbers there are.
        let extreme = [f32::MAX, f32::MIN, f32::MAX];
        assert!(sampler.sample(&extreme, &[7, u32::MAX]).is_ok());
    }
    let all = Sampling { bias: vec![(0, f32::NEG_INFINITY), (1, f32::NEG_INFINITY)], ..Sampling::default() };
    let mut sampler = Sampler::new(all, 2).expect("sound");
    assert!(matches!(sampler.check(&[1.0, 2.0]), Err(Error::Failed(_))));
    assert!(matches!(sampler.sample(&[1.0, 2.0], &[]), Err(Error::Failed(_))));
    assert!(matches!(
        Sampler::new(plain(), 0).map(|mut sampler| sampler.sample(&[], &[])),
        Ok(Err(Error::Failed(_)))
    ));
}

#[test]
fn a_request_that_makes_no_sense_names_its_field() {
    let refused = |field: &str, sampling: Sampling| {
        let Err(Error::InvalidRequest(message)) = Sampler::new(sampling, 10) else {
            panic!("{field} was accepted")
        };
        assert!(message.contains(field), "{message}");
    };
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        refused("temperature", Sampling { temperature: bad, ..plain() });
        refused("top-p", Sampling { top_p: bad, ..plain() });
        refused("min-p", Sampling { min_p: bad, ..plain() });
        refused("repeat penalty", Sampling { repeat_penalty: bad, ..plain() });
        refused("presence penalty", Sampling { presence_penalty: bad, ..plain() });
        refused("frequency penalty", Sampling { frequency_penalty: bad, ..plain() });
    }
    refused("top-p", Sampling { top_p: -0.1, ..plain() });
    refused("min-p", Sampling { min_p: -0.1, ..plain() });
    refused("repeat penalty", Sampling { repeat_penalty: 0.0, ..plain() });
    refused("bias", Sampling { bias: vec![(1, f32::NAN)], ..plain() });
    refused("bias", Sampling { bias: vec![(1, f32::INFINITY)], ..plain() });
    refused("vocabulary", Sampling { bias: vec![(10, 1.0)], ..plain() });
}

#[test]
fn the_buffers_are_kept_from_token_to_token() {
    let logits = logits(5000, 3);
    let mut sampler =
        Sampler::new(Sampling { bias: vec![(1, 1.0)], ..Sampling::default() }, logits.len()).expect("sound");
    sampler.sample(&logits, &[1, 2, 3]).expect("sound");
    let before = (sampler.candidates.as_ptr(), sampler.changed.as_ptr());
    for _ in 0..10 {
        sampler.sample(&logits, &[1, 2, 3]).expect("sound");
    }
    assert_eq!(before, (sampler.candidates.as_ptr(), sampler.changed.as_ptr()));
}

#[test]
fn the_highest_logits_give_the_same_token_as_all() {
    let logits = logits(500, 11);
    let mut order: Vec<(u32, f32)> = (0..).zip(logits.iter().copied()).collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    for (temperature, top_k, top_p, min_p) in [
        (0.0, 40, 0.95, 0.05),
        (0.8, 40, 0.95, 0.05),
        (1.5, 3, 1.0, 0.0),
        (1.0, 499, 0.5, 0.0),
        (1.0, 1, 1.0, 0.5),
    ] {
        let sampling = Sampling { temperature, top_k, top_p, min_p, seed: 5, ..Sampling::default() };
        let mut from_all = Sampler::new(sampling, logits.len()).unwrap();
        let mut from_top = from_all.clone();
        let count = from_top.top().unwrap() as usize;
        for _ in 0..200 {
            assert_eq!(from_top.sample_top(&order[..count]).unwrap(), from_all.sample(&logits, &[]).unwrap());
        }
    }
}

#[test]
fn the_highest_logits_do_not_suffice_where_others_may_rise() {
    let top = |sampling| Sampler::new(sampling, 500).unwrap().top();
    assert_eq!(top(Sampling { top_k: 0, ..Sampling::default() }), None);
    assert_eq!(top(Sampling { top_k: 500, ..Sampling::default() }), None);
    assert_eq!(top(Sampling { repeat_penalty: 1.1, ..Sampling::default() }), None);
    assert_eq!(top(Sampling { temperature: 0.0, bias: vec![(1, 2.0)], ..Sampling::default() }), None);
    assert_eq!(top(Sampling { temperature: 0.0, ..Sampling::default() }), Some(1));
    assert_eq!(top(Sampling::default()), Some(40));
}

#[test]
fn hostile_highest_logits_are_errors() {
    let mut sampler = Sampler::new(plain(), 10).unwrap();
    for top in [&[][..], &[(0, f32::NAN), (1, 2.0)], &[(0, f32::INFINITY)], &[(0, f32::NEG_INFINITY)]] {
        assert!(matches!(sampler.sample_top(top), Err(Error::Failed(_))), "{top:?}");
        assert!(matches!(sampler.check_top(top), Err(Error::Failed(_))), "{top:?}");
    }
}
