# The notebooks that learn: codebooks, embedding, groups, decoders. Part of the Snakefile unless the run's weights are
# published.


rule bitstream:
    input: source("03_bitstream", "features", "cepstrum", "pitch", "quantizer", "codebooks", "bitstream"), table("corpus")
    output:
        table("quantization", "rate", "bit_sensitivity"),
        figure("bit_allocation", "quantization", "decoded_features", "rate", "bit_sensitivity"),
        f"{M}/codebooks.npz", f"{R}/example.plpc", notebook=f"{R}/03_bitstream.ipynb",
    params: values=values("03_bitstream")
    log: f"{LOGS}/03_bitstream.log"
    shell: run("03_bitstream")


rule embedding:
    input: source("04_embedding", "embedding", "voiceprint", "verification", "audio", "groups"), table("corpus")
    output:
        table(
            "embedding", "embedding_training", "embedding_eer", "embedding_segments", "projection", "groups_number"
        ),
        figure("embedding", "groups_number"),
        f"{M}/embedding.safetensors", notebook=f"{R}/04_embedding.ipynb",
    params: values=values("04_embedding")
    log: f"{LOGS}/04_embedding.log"
    shell: run("04_embedding")


rule groups:
    input:
        source("05_groups", "groups", "voiceprint"), table("corpus", "embedding", "embedding_segments", "projection"),
        f"{M}/embedding.safetensors",
    output:
        table(*(f"groups{kind}-C{{C}}" for kind in ("", "_summary", "_stability", "_seconds", "_running"))),
        figure("groups-C{C}", "groups_seconds-C{C}", "groups_running-C{C}"), f"{M}/groups-C{{C}}.safetensors",
        notebook=f"{R}/05_groups-C{{C}}.ipynb",
    params: values=values("05_groups")
    log: f"{LOGS}/05_groups-C{{C}}.log"
    shell: run("05_groups", options="-p C {wildcards.C}")


def training_needs(wildcards):
    """What a decoder builds on: `first` or the general one unless it starts from scratch, and the specialists' groups."""
    decoder = DECODERS[wildcards.decoder]
    first = f"{M}/lpcnet-{decoder.units}-0-0.safetensors" if decoder.C else values("06_training").get("first", "")
    built_on = [first.format(units=decoder.units)] if first and not decoder.scratch else []
    return built_on + (table(f"groups-C{decoder.C}") if decoder.C >= 2 else [])


rule training:
    input:
        source(
            "06_training", "lpcnet", "weights", "recurrence", "samples", "training", "backend", "features", "cepstrum",
            "pitch", "quantizer", "codebooks",
        ),
        table("corpus"), f"{M}/codebooks.npz", training_needs,
    output:
        table("training-{decoder}"), f"{M}/lpcnet-{{decoder}}.safetensors", notebook=f"{R}/06_training-{{decoder}}.ipynb"
    params:
        values=values("06_training"),
        options=lambda wildcards: " ".join(
            f"-p {name} {str(value).lower()}" for name, value in DECODERS[wildcards.decoder]._asdict().items()
        ),
    log: f"{LOGS}/06_training-{{decoder}}.log"
    resources: gpu=1
    shell: run("06_training", options="{params.options}")


rule personalization:
    input:
        source(
            "12_personalization", "personalization", "comparison", "intervals", "training", "samples", "lpcnet",
            "recurrence",
        ),
        table("corpus", f"groups-C{GROUPS[0]}"), f"{M}/codebooks.npz",
        [f"{M}/lpcnet-{name}.safetensors" for name in PERSONAL],
    output:
        table("personalization", "personalization_losses"), figure("personalization"),
        notebook=f"{R}/12_personalization.ipynb",
    params: values=values("12_personalization")
    log: f"{LOGS}/12_personalization.log"
    shell: run("12_personalization")
