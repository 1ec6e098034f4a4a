"""Write a small model folder: a tokenizer, a chat template and a config, and no weights. The mocker needs no more.

Runs as a script, with the `tokenizers` library that comes with Dynamo's wheels: `python tokenizer.py FOLDER`. It is no
tokenizer of any real model: every byte is a token, and then the most common pairs of the text below.
"""

import json
import sys
from pathlib import Path
from pydoc_data.topics import topics

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers  # pyright: ignore[reportMissingImports] of the environment it runs in

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
VOCABULARY = 6000
"""Above the tokens that the mocker makes up: with some hundred its answers have no text."""

CONTEXT_TOKENS = 32768
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    # Any English text will do, and this one comes with Python: what `help()` says of its topics.
    tokenizer.train_from_iterator(
        [topics[name] for name in sorted(topics)],
        trainers.BpeTrainer(
            vocab_size=VOCABULARY,
            special_tokens=list(SPECIAL),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    ends, _, turn = (tokenizer.token_to_id(token) for token in SPECIAL)
    files = {
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "eos_token": SPECIAL[2],
            "pad_token": SPECIAL[0],
            "model_max_length": CONTEXT_TOKENS,
            "chat_template": TEMPLATE,
        },
        "config.json": {
            "architectures": ["Qwen3ForCausalLM"],
            "model_type": "qwen3",
            "vocab_size": tokenizer.get_vocab_size(),
            "max_position_embeddings": CONTEXT_TOKENS,
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "bos_token_id": ends,
            "eos_token_id": turn,
            "torch_dtype": "bfloat16",
        },
        "generation_config.json": {"bos_token_id": ends, "eos_token_id": [turn, ends]},
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
