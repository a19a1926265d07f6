# What is said and how it sounds, in two streams below 700 b/s: trained; what tokens mean; decoded and measured.

SEMANTIC = VALUES["grid"]["semantic"]
TRAINED += table(*(f"training-semantic-{size}-general" for size in SEMANTIC))


def semantic_model(word, *names):
    """What a notebook reads of this run's, unless it takes the shipped codec."""
    return [] if values(word).get("shipped") else model(f"semantic-{SEMANTIC[0]}-general", *names)


if SEMANTIC and not PUBLISHED:

    rule semantic_training:
        input: source("20_semantic_training", plots=False), table("corpus"), model("embedding")
        output:
            table(f"training-semantic-{SEMANTIC[0]}-general", "semantic_ablation"), figure("semantic_ablation"),
            [] if values("20_semantic_training").get("first") else model(f"semantic-{SEMANTIC[0]}-general"),
            notebook=f"{R}/20_semantic_training-{SEMANTIC[0]}.ipynb",
        params: values=values("20_semantic_training")
        resources: **needs("20_semantic_training")
        log: f"{LOGS}/20_semantic_training.log"
        shell: run("20_semantic_training", options=f"-p size {SEMANTIC[0]}")


if SEMANTIC:

    rule semantic_tokens:
        input:
            source("21_semantic_tokens"), table("corpus"), f"{M}/codebooks.npz", semantic_model("21_semantic_tokens"),
        output: table("semantic_probes"), figure("semantic_probes"), notebook=f"{R}/21_semantic_tokens.ipynb"
        params: values=values("21_semantic_tokens")
        resources: **needs("21_semantic_tokens")
        log: f"{LOGS}/21_semantic_tokens.log"
        shell: run("21_semantic_tokens", options=f"-p size {SEMANTIC[0]}")


    rule semantic:
        input:
            source("22_semantic"), table("corpus"), DECODED,
            semantic_model("22_semantic", *(f"groups-C{C}" for C in values("22_semantic").get("semantic_C", GROUPS[:1]))),
        output:
            table("decoded-semantic", "semantic_speed", "semantic_summary", "semantic_paired", "semantic_sampling"),
            figure("semantic_quality", "semantic_sampling", "semantic_spectrograms"), f"{F}/semantic_listen.html",
            notebook=f"{R}/22_semantic.ipynb",
        params: values=values("22_semantic")
        resources: **needs("22_semantic")
        log: f"{LOGS}/22_semantic.log"
        threads: threads_of("22_semantic")
        shell: run("22_semantic", options=f"-p size {SEMANTIC[0]}")


    OUTPUTS += rules.semantic_tokens.output + rules.semantic.output
