"""The training pipeline: one definition for the laptop and for the cluster."""

from kfp import dsl

from components.drift.component import drift
from components.evaluate.component import evaluate
from components.gate.component import gate
from components.ingest.component import ingest
from components.options import describe
from components.push.component import push
from components.summarize.component import summarize
from components.train.component import train
from components.transform.component import transform
from components.validate.component import validate
from pipelines.parameters import descriptions, section


@dsl.pipeline(name="loomline-training")
@describe(**descriptions())
def training(
    ingest_source: str,
    ingest_text_column: str,
    ingest_time_column: str,
    ingest_reference_from: str,
    ingest_reference_to: str,
    ingest_current_from: str,
    ingest_current_to: str,
    ingest_eval_percent: int,
    ingest_min_characters: int,
    validate_suite: str,
    transform_vocabulary_size: int,
    train_layers: int,
    train_width: int,
    train_heads: int,
    train_context: int,
    train_dropout: float,
    train_batch_size: int,
    train_steps: int,
    train_learning_rate: float,
    train_warmup_steps: int,
    train_weight_decay: float,
    train_clip_norm: float,
    train_eval_every: int,
    train_patience: int,
    train_checkpoint_seconds: int,
    train_precision: str,
    train_xla: bool,
    train_export_xla: bool,
    train_seed: int,
    evaluate_samples: int,
    evaluate_sample_tokens: int,
    evaluate_temperature: float,
    evaluate_top_k: int,
    evaluate_top_p: float,
    evaluate_copy_characters: int,
    evaluate_bootstrap: int,
    evaluate_serving_versions: list,
    evaluate_seed: int,
    drift_method: str,
    drift_threshold: float,
    drift_max_rows: int,
    gate_approval: str,
    gate_rules: list,
    push_model_name: str,
    push_base_path: str,
    source_digest: str,
    code_digest: str,
    champion: str,
    champion_digest: str,
    checkpoints: str,
    records: str,
    provenance: dict,
) -> None:
    """Takes raw data to a gated model that is published for TensorFlow Serving.

    1. ingest reads the source and splits it by digest;
    2. validate sets aside the examples that break an expectation;
    3. transform learns a vocabulary and turns text into tokens;
    4. train fits the model, exports it, and resumes where a killed run stopped;
    5. evaluate judges the export beside yardsticks and beside the version now served;
    6. drift compares eras of data, and generated text with real text;
    7. gate decides by the policy's rules;
    8. push publishes what the gate approved.

    However the run ends, summarize writes down how.
    """
    parameters = dict(locals())
    finish = summarize(records=records).set_caching_options(False)
    with dsl.ExitHandler(finish, name="steps"):
        ingested = ingest(
            **section("ingest", parameters), source_digest=source_digest, code_digest=code_digest
        )
        checked = validate(
            examples=ingested.outputs["examples"],
            **section("validate", parameters),
            code_digest=code_digest,
        )
        transformed = transform(
            examples=checked.outputs["validated"],
            **section("transform", parameters),
            code_digest=code_digest,
        )
        trained = train(
            transformed=transformed.outputs["transformed"],
            graph=transformed.outputs["graph"],
            **section("train", parameters),
            checkpoints=checkpoints,
            code_digest=code_digest,
        )
        evaluated = evaluate(
            examples=checked.outputs["validated"],
            model=trained.outputs["model"],
            **section("evaluate", parameters),
            champion=champion,
            champion_digest=champion_digest,
            code_digest=code_digest,
        )
        drifted = drift(
            examples=checked.outputs["validated"],
            evaluation=evaluated.outputs["evaluation"],
            **section("drift", parameters),
            code_digest=code_digest,
        )
        # The gate depends on the time and on what is served, and push acts on the world:
        # neither may be answered from a cache.
        decided = gate(
            model=trained.outputs["model"],
            validation=checked.outputs["report"],
            evaluation=evaluated.outputs["evaluation"],
            drift=drifted.outputs["report"],
            **section("gate", parameters),
            champion=champion,
            records=records,
        ).set_caching_options(False)
        with dsl.If(decided.outputs["Output"] == True, name="approved"):  # noqa: E712
            push(
                model=trained.outputs["model"],
                decision=decided.outputs["decision"],
                evaluation=evaluated.outputs["evaluation"],
                drift=drifted.outputs["report"],
                **section("push", parameters),
                provenance=provenance,
                records=records,
            ).set_caching_options(False)
