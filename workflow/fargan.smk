# The framewise decoder: trained, played, and decoded with lost packets. It decodes the utterances that LPCNet does.

FRAMEWISE = {decoder.name: decoder for decoder in grid.framewise(VALUES["grid"])}
FRAMEWISE_SPEAKING = VALUES["grid"] | values("14_framewise_synthesis")  # sizes and groups of those that decode speech
FRAMEWISE_GROUPS = FRAMEWISE_SPEAKING["framewise_C"]
FRAMEWISE_SPOKEN = [decoder.name for decoder in grid.spoken(grid.framewise(FRAMEWISE_SPEAKING))]
TRAINED += table(*(f"training-{name}" for name in FRAMEWISE))


if not PUBLISHED:

    def framewise_start(wildcards):
        """What a decoder continues from: `first`, or the general one; and its groups."""
        decoder = FRAMEWISE[wildcards.decoder]
        if decoder.role == "general":
            first = values("13_framewise_training").get("first", "")
            return [first.format(size=decoder.size)] if first else []
        general = model(grid.Framewise(decoder.size).name)
        return general + (table(f"groups-C{decoder.C}") if decoder.role == "group" else [])


    rule framewise_training:
        input: source("13_framewise_training", plots=False), table("corpus"), f"{M}/codebooks.npz", framewise_start
        output: table("training-{decoder}"), model("{decoder}"), notebook=f"{R}/13_framewise_training-{{decoder}}.ipynb"
        wildcard_constraints: decoder="|".join(FRAMEWISE) or "none"
        params:
            values=values("13_framewise_training"),
            options=lambda wildcards: " ".join(
                f"-p {name} {value}" for name, value in FRAMEWISE[wildcards.decoder]._asdict().items()
            ),
        resources: **needs("13_framewise_training")
        log: f"{LOGS}/13_framewise_training-{{decoder}}.log"
        shell: run("13_framewise_training", options="{params.options}")


if VALUES["grid"]["framewise_study"] and not PUBLISHED:

    rule framewise_parts:
        input: source("24_framewise_parts", plots=False), table("corpus"), f"{M}/codebooks.npz"
        output:
            table("framewise_parts", "framewise_parts_paired"), figure("framewise_hours", "framewise_parts_paired"),
            notebook=f"{R}/24_framewise_parts.ipynb",
        params: values=values("24_framewise_parts")
        priority: 1  # long, and nothing waits for it: it would end last, alone
        resources: **needs("24_framewise_parts")
        log: f"{LOGS}/24_framewise_parts.log"
        shell: run("24_framewise_parts")


    OUTPUTS += rules.framewise_parts.output


if FRAMEWISE:

    rule framewise_synthesis:
        input:
            source("14_framewise_synthesis"), table("corpus", "decoded", "packet_loss"), f"{M}/codebooks.npz",
            table(*(f"groups-C{C}" for C in FRAMEWISE_GROUPS)), model(*FRAMEWISE_SPOKEN),
            model(*(f"groups-C{C}" for C in FRAMEWISE_GROUPS[:1])),
        output:
            table("decoded-framewise", "framewise_packet_loss"), figure("framewise_parts", "framewise_spectrograms"),
            f"{F}/framewise_listen.html", notebook=f"{R}/14_framewise_synthesis.ipynb",
        params: values=values("14_framewise_synthesis")
        resources: **needs("14_framewise_synthesis")
        log: f"{LOGS}/14_framewise_synthesis.log"
        threads: threads_of("14_framewise_synthesis")
        shell: run("14_framewise_synthesis")


    DECODED += table("decoded-framewise")
    OUTPUTS += rules.framewise_synthesis.output
