# LPCNet: its decoders are trained, listened to and adapted to single speakers.

LPCNET = {decoder.name: decoder for decoder in grid.decoders(VALUES["grid"])}
LPCNET_SPOKEN = [
    decoder.name for decoder in grid.decoders(VALUES["grid"] | {"capacity": [], "study": 0}) if decoder.role != "general"
]  # those that decode speech
TRAINED += table(*(f"training-{name}" for name in LPCNET))


if not PUBLISHED:

    def lpcnet_start(wildcards):
        """What a decoder continues from: `first` or the general one, unless it starts from scratch; and its groups."""
        decoder = LPCNET[wildcards.decoder]
        if decoder.role == "general":
            first = values("06_training").get("first", "")
            return [first.format(units=decoder.units)] if first else []
        general = [] if decoder.scratch else model(grid.Decoder(decoder.units).name)
        return general + (table(f"groups-C{decoder.C}") if decoder.role == "group" else [])


    rule training:
        input: source("06_training", plots=False), table("corpus"), f"{M}/codebooks.npz", lpcnet_start
        output: table("training-{decoder}"), model("{decoder}"), notebook=f"{R}/06_training-{{decoder}}.ipynb"
        wildcard_constraints: decoder="|".join(LPCNET)
        params:
            values=values("06_training"),
            options=lambda wildcards: " ".join(
                f"-p {name} {str(value).lower()}" for name, value in LPCNET[wildcards.decoder]._asdict().items()
            ),
        resources: **needs("06_training")
        log: f"{LOGS}/06_training-{{decoder}}.log"
        shell: run("06_training", options="{params.options}")


rule synthesis:
    input:
        source("08_synthesis"), table("corpus", *(f"groups-C{C}" for C in GROUPS)), f"{M}/codebooks.npz",
        model(f"groups-C{GROUPS[0]}", *LPCNET_SPOKEN),
    output:
        table("decoded", "packet_loss"), figure("excitation", "spectrograms", "waveforms", "lost_packets"),
        f"{F}/listen.html", notebook=f"{R}/08_synthesis.ipynb",
    params: values=values("08_synthesis")
    resources: **needs("08_synthesis")
    log: f"{LOGS}/08_synthesis.log"
    threads: threads_of("08_synthesis")
    shell: run("08_synthesis")


DECODED += table("decoded")


OUTPUTS += rules.synthesis.output
