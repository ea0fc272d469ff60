"""The demo's text backbone: a BERT of six layers, trained by masked language modelling on the demo's titles."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import BertConfig, BertForMaskedLM, BertModel, BertTokenizer, DataCollatorForLanguageModeling

from data_tools.demo.backbones.training import (
    DEMO_SIZE,
    EncoderSize,
    OnStep,
    adopt_encoder,
    new_backbone,
    train,
    write_model,
)

STEPS = 400
LEARNING_RATE = 3e-3
MASKED_SHARE = 0.25
MAXIMUM_TOKENS = 64
SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def build_text_backbone(
    titles: list[str],
    folder: Path,
    *,
    size: EncoderSize = DEMO_SIZE,
    seed: int = 0,
    steps: int = STEPS,
    on_step: OnStep | None = None,
) -> Path:
    """Train on the titles alone and write a folder that `AutoModel` and `AutoTokenizer` load.

    The weights follow from the titles, their order, `size`, `seed` and `steps`, on one machine at one thread count.
    Returns `folder`. Raises `RefusedError` without titles, without steps, and if `folder` is taken.
    """
    with new_backbone(Path(folder), rows=len(titles), what="titles", steps=steps, seed=seed) as temporary:
        tokenizer = _make_tokenizer(titles)
        model, loss = _train_encoder(titles, tokenizer=tokenizer, size=size, steps=steps, on_step=on_step)
        tokenizer.save_pretrained(temporary)
        write_model(
            model,
            temporary,
            title="Demo text backbone",
            data=f"the {len(titles):,} titles of the demo catalogue",
            objective=f"guess the {MASKED_SHARE:.0%} of a title's tokens that are masked (cross-entropy)",
            steps=steps,
            seed=seed,
            loss=loss,
        )
    return Path(folder)


def _make_tokenizer(titles: list[str]) -> BertTokenizer:
    """A word-piece tokenizer whose pieces are the titles' words, and single characters for any other word.

    So few different words occur that the pieces need no search; the search in `tokenizers` also breaks ties at
    random, so that no two builds would agree.
    """
    normalize, split = BertNormalizer().normalize_str, BertPreTokenizer().pre_tokenize_str
    counts = Counter(word for title in titles for word, _ in split(normalize(title)))
    words = sorted(counts, key=lambda word: (-counts[word], word))
    letters = sorted({letter for word in words for letter in word})
    pieces = [*SPECIAL_TOKENS, *words, *letters, *(f"##{letter}" for letter in letters)]
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    return BertTokenizer(vocab=vocabulary, model_max_length=MAXIMUM_TOKENS)


def _train_encoder(
    titles: list[str],
    *,
    tokenizer: BertTokenizer,
    size: EncoderSize,
    steps: int,
    on_step: OnStep | None,
) -> tuple[BertModel, float]:
    batch = tokenizer(titles, padding=True, truncation=True, return_tensors="pt", return_special_tokens_mask=True)
    config = _configuration(vocabulary_size=len(tokenizer), size=size)
    trainee = BertForMaskedLM(config)
    masking = DataCollatorForLanguageModeling(tokenizer, mlm_probability=MASKED_SHARE)

    def objective(rows: Tensor) -> Tensor:
        tokens, special = batch["input_ids"][rows], batch["special_tokens_mask"][rows]  # [B, S]
        masked, labels = masking.torch_mask_tokens(tokens, special_tokens_mask=special)
        states = trainee.bert(masked, attention_mask=batch["attention_mask"][rows]).last_hidden_state
        hidden = labels >= 0  # [B, S]; only these are guessed, so only these get logits
        logits = trainee.cls(states[hidden])
        return cross_entropy(logits, labels[hidden], reduction="sum") / hidden.sum().clamp_min(1)

    loss = train(
        trainee,
        objective,
        rows=len(titles),
        steps=steps,
        learning_rate=LEARNING_RATE,
        on_step=on_step,
    )
    model = BertModel(config)
    adopt_encoder(model, trainee.bert.state_dict())
    return model, loss


def _configuration(*, vocabulary_size: int, size: EncoderSize) -> BertConfig:
    return BertConfig(
        vocab_size=vocabulary_size,
        **size.settings,
        initializer_range=0.04,
        max_position_embeddings=MAXIMUM_TOKENS,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
