"""Settings of the train stage."""

from typing import ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Normalize = Literal["token", "trajectory", "trajectory-mean"]
GROUP_OBJECTIVES = ("grpo", "trust-grpo")
"""Objectives that compare the rollouts of a question."""


class Mixture(BaseModel):
    """Extra data trained on beside the trajectories."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    path: str = Field(min_length=1)
    """JSONL or Parquet with columns `question` (or `prompt`), `response` and, where there are any,
    `images` (or `image`: paths, from the file's folder on, or structs of bytes and path) and
    `system`; or a split of the built-in world: `world:text`, `world:descriptions`."""
    weight: float = Field(1.0, gt=0)
    """Rows drawn for each trajectory that is trained on: 0.5 with 1,000 trajectories draws 500 in
    every epoch, in a seeded random order, none twice before all were drawn once. In a warm-up,
    which has no trajectories, rows drawn for each row of the file."""
    rows: int | None = Field(None, ge=1)
    """Rows drawn in every epoch, in place of `weight`."""


class Config(BaseModel):
    """Settings of the train stage."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    SPLIT: ClassVar[tuple[str, ...]] = (
        "micro_batch_size",
        "pack_length",
        "num_ranks",
        "num_nodes",
    )
    """How the rows of a step are shared out."""
    GROWING: ClassVar[tuple[str, ...]] = ()

    objective: Literal["sophia", "sft", "grpo", "trust-grpo"] = "sophia"
    """What is minimised: `sophia`, Eq. 7: each response token weighted by its rollout's reward;
    `sft`: every response token alike (in a run in which nothing was sampled yet it is the warm-up,
    on `mix` alone); `grpo`: clipped ratios, weighted by advantages in the group; `trust-grpo`: the
    same with SophiaVL-R1's rewards, in which thinking counts less at each step. The last two need
    on-policy groups: reason.behavior = "image", propagate.select = "group"."""
    batch_size: int = Field(512, ge=1)
    """Trajectories per optimizer step, mixed-in rows included; the last step takes what is left.
    Groups are not cut: a step takes as many whole ones as fit."""
    num_epochs: int = Field(1, ge=1)
    """Passes over the trajectories."""
    learning_rate: float = Field(2e-5, gt=0)
    """Highest learning rate."""
    final_lr_ratio: float = Field(0.25, ge=0, le=1)
    """Learning rate at the end of the cosine, as a part of the highest."""
    warmup_ratio: float = Field(0.0, ge=0, lt=1)
    """Part of the steps over which the learning rate rises linearly."""
    weight_decay: float = Field(0.05, ge=0)
    """AdamW's, on matrices; norms and biases have none."""
    gradient_clipping: float = Field(1.0, ge=0)
    """Highest L2 norm of a step's gradient; 0: not clipped."""
    normalize: Normalize = "token"
    """What a step's summed loss is divided by: its response tokens, or its trajectories (Eq. 7).
    `trajectory-mean`: the mean over each trajectory's tokens, then over trajectories (GRPO)."""
    importance: Literal["none", "truncated"] = "none"
    """The ratio pi_theta / mu in the objective `sophia`: `none`, taken as 1, as the paper does;
    `truncated`: each trajectory weighted by min(ratio, importance_cap), without a gradient."""
    importance_cap: float = Field(2.0, gt=0)
    """Largest importance weight; `importance_capped_fraction` of a step's trajectories have it."""
    importance_level: Literal["sequence", "token"] = "sequence"
    """`sequence`: the ratio of a whole response's probabilities, which for long ones is as good as
    0 or the cap; `token`: its |y|-th root, the geometric mean over tokens."""
    ratio_rows: int = Field(256, ge=0)
    """Trajectories, drawn at random, of which pi_theta / mu is measured before and after training.
    Engine-only."""
    clip: float = Field(0.2, gt=0, lt=1)
    """GRPO's eps: ratios to the policy before training count from 1 - eps to 1 + eps."""
    kl_weight: float = Field(0.04, ge=0)
    """GRPO's beta: weight of the k3 estimate of KL(pi_theta || pi_ref), where pi_ref is the policy
    before training; 0: no such term."""
    thinking_weight: float = Field(0.3, ge=0)
    """Trust-GRPO's alpha: weight of the thinking reward at the first step."""
    annealing_steps: int | None = Field(None, ge=1)
    """Trust-GRPO's T, over which that weight falls to 1/e; null: all steps, as in the paper. The
    authors' code has 500, however long the training is."""
    freeze: tuple[Literal["vision", "projector"], ...] = ("vision", "projector")
    """Parts that are not trained. Only the language model can be, so both belong here."""
    lora_rank: int = Field(0, ge=0)
    """Rank of LoRA's adapters, which then train alone, beside frozen weights; 0: no LoRA, the whole
    language model trains."""
    lora_alpha: int = Field(32, ge=1)
    """LoRA adds B A, times this divided by the rank."""
    lora_dropout: float = Field(0.0, ge=0, lt=1)
    """Part of an adapter's inputs that is left out in training. What is left out of a row depends
    on where it is computed: so `num_ranks` has to be set, and it, `num_nodes`, `micro_batch_size`
    and `pack_length` are then no longer engine-only."""
    lora_targets: tuple[str, ...] = ()
    """Names of the language model's linear layers that get adapters, such as q_proj; none: all."""
    max_length: int = Field(32768, ge=2)
    """Longest row, in tokens of prompt and response; longer ones are rejected, never cut."""
    system_prompt: str = "slow_thinking"
    """System prompt of responses with a `<think>` block: name of a prompt or path of a file."""
    mix: dict[str, Mixture] = {}
    """Extra data by name, such as text-only reasoning or general visual questions."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of the forward pass; auto: bfloat16 on a GPU, float32 on the CPU. Gradients are
    summed, and weights updated, in float32."""
    zero_stage: Literal[0, 2, 3] = 2
    """ZeRO: 0 every rank holds everything, 2 gradients and optimizer are spread, 3 weights too.
    Engine-only, but a checkpoint is continued with the stage that wrote it."""
    num_ranks: int | None = Field(None, ge=1)
    """Processes started on a machine; null: one for each GPU, or one on the CPU. Engine-only,
    but a checkpoint is continued by as many ranks as wrote it."""
    num_nodes: int = Field(1, ge=1)
    """Nodes of a Slurm job, each with `num_ranks` ranks; `sophia slurm train` asks for them.
    Engine-only, with the same proviso."""
    micro_batch_size: int = Field(1, ge=1)
    """Trajectories in one forward pass of one rank. Engine-only: it moves last bits alone."""
    pack_length: int | None = Field(None, ge=1)
    """Tokens in one forward pass of one rank: as many whole trajectories as fit, in place of
    `micro_batch_size`; a longer one goes alone. Engine-only: it moves last bits alone."""
    gradient_checkpointing: bool = True
    """Compute activations twice instead of keeping them. Engine-only."""
    checkpoint_every: int = Field(25, ge=1)
    """Steps between checkpoints. Engine-only."""
    checkpoint_seconds: float | None = Field(3600, gt=0)
    """A checkpoint is written after the step in which the last one, or the start, became so old by
    rank 0's clock; null: by `checkpoint_every` alone. Engine-only."""
    keep_checkpoints: int = Field(2, ge=1)
    """How many checkpoints are kept, the newest. Engine-only."""

    peak_tflops: float | None = Field(None, gt=0)
    """What a rank's hardware can do, in 10^12 operations per second, for MFU; null: known for some
    GPUs in bfloat16, and no MFU on others. Engine-only."""
    wandb_project: str | None = None
    """Project of Weights & Biases to log to, besides TensorBoard; null: none. Where and whether it
    is sent is W&B's own setting (WANDB_MODE=offline). Engine-only."""

    @field_validator("freeze")
    @classmethod
    def _only_the_language_model_trains(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if set(value) != {"vision", "projector"}:
            raise ValueError('only ["vision", "projector"] is supported: the language model trains')
        return value

    @field_validator("lora_targets")
    @classmethod
    def _head_and_embeddings_get_no_adapter(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if refused := {"lm_head", "embed_tokens"}.intersection(value):
            raise ValueError(
                f"{refused.pop()} can't get an adapter: head and embeddings may be one tied "
                "matrix, and the loss is computed from it without its logits"
            )
        return value

    @property
    def ENGINE_ONLY(self) -> tuple[str, ...]:
        """Settings on which what is learned does not depend."""
        return (
            *(() if self.lora_dropout else self.SPLIT),
            "zero_stage",
            "gradient_checkpointing",
            "checkpoint_every",
            "checkpoint_seconds",
            "keep_checkpoints",
            "peak_tflops",
            "wandb_project",
            "ratio_rows",
        )

    @property
    def is_packed(self) -> bool:
        """Whether several trajectories share a forward pass."""
        return self.pack_length is not None or self.micro_batch_size > 1

    def computes_in_float32(self, on_gpu: bool) -> bool:
        """Whether the arithmetic is float32, and not bfloat16."""
        return self.dtype == "float32" or (self.dtype == "auto" and not on_gpu)

    @property
    def trains_groups(self) -> bool:
        """Whether the objective compares the rollouts of a question."""
        return self.objective in GROUP_OBJECTIVES

    @model_validator(mode="after")
    def _objective_takes_what_is_set(self) -> Self:
        if self.trains_groups and self.mix:
            raise ValueError(
                f"objective = {self.objective} compares rollouts of a question, which mixed-in "
                "rows are not: take train.mix out, or set objective = sophia"
            )
        if self.importance != "none" and self.objective != "sophia":
            raise ValueError(f"importance = {self.importance} is for objective = sophia")
        return self

    @model_validator(mode="after")
    def _masks_follow_from_settings(self) -> Self:
        if self.lora_dropout and self.num_ranks is None:
            raise ValueError(
                "with lora_dropout > 0 what is learned depends on how many ranks there are: "
                "set num_ranks"
            )
        return self

    @model_validator(mode="after")
    def _unspread_gradients_are_float32(self) -> Self:
        if self.zero_stage == 0 and self.dtype == "bfloat16":
            raise ValueError(
                "with zero_stage = 0 DeepSpeed sums gradients in the type of weights: "
                "use zero_stage = 2, or dtype = float32"
            )
        return self
