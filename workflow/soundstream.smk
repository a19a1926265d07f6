# Codecs that are learned end to end: trained; heard stage by stage, decoded, with lost packets; with noise around.

SOUNDSTREAM = {codec.name: codec for codec in grid.soundstream(VALUES["grid"])}
SOUNDSTREAM_SPEAKING = VALUES["grid"] | values("16_soundstream")  # sizes and groups of those that decode speech
SOUNDSTREAM_GROUPS = SOUNDSTREAM_SPEAKING["soundstream_C"]
SOUNDSTREAM_SPOKEN = [codec.name for codec in grid.spoken(grid.soundstream(SOUNDSTREAM_SPEAKING))]
TRAINED += table(*(f"training-{name}" for name in SOUNDSTREAM))


if not PUBLISHED:

    def soundstream_start(wildcards):
        """What a codec continues from: `first`, or the general one; and its groups."""
        codec = SOUNDSTREAM[wildcards.codec]
        if codec.role == "general":
            first = values("15_soundstream_training").get("first", "")
            return [first.format(size=codec.size)] if first else []
        general = model(grid.SoundStream(codec.size).name)
        return general + (table(f"groups-C{codec.C}") if codec.role == "group" else [])


    rule soundstream_training:
        input: source("15_soundstream_training", plots=False), table("corpus"), soundstream_start
        output:
            table("training-{codec}"), model("{codec}"), f"{M}/{{codec}}.codes.npz",
            notebook=f"{R}/15_soundstream_training-{{codec}}.ipynb",
        wildcard_constraints: codec="|".join(SOUNDSTREAM) or "none"
        params:
            values=values("15_soundstream_training"),
            options=lambda wildcards: " ".join(
                f"-p {name} {value}" for name, value in SOUNDSTREAM[wildcards.codec]._asdict().items()
            ),
        resources: **needs("15_soundstream_training")
        log: f"{LOGS}/15_soundstream_training-{{codec}}.log"
        shell: run("15_soundstream_training", options="{params.options}")


if SOUNDSTREAM:

    rule soundstream:
        input:
            source("16_soundstream"), table("corpus", "decoded"), model(*SOUNDSTREAM_SPOKEN),
            [f"{M}/{name}.codes.npz" for name in SOUNDSTREAM_SPOKEN],
            table(*(f"groups-C{C}" for C in SOUNDSTREAM_GROUPS)), model(*(f"groups-C{C}" for C in SOUNDSTREAM_GROUPS)),
        output:
            table("decoded-soundstream", "soundstream_codes", "soundstream_compact", "soundstream_packet_loss"),
            figure("soundstream_stages", "soundstream_codes", "soundstream_spectrograms"),
            f"{F}/soundstream_listen.html", notebook=f"{R}/16_soundstream.ipynb",
        params: values=values("16_soundstream")
        resources: **needs("16_soundstream")
        log: f"{LOGS}/16_soundstream.log"
        shell: run("16_soundstream")


    DECODED += table("decoded-soundstream")
    OUTPUTS += rules.soundstream.output

    if os.environ.get("PCODEC_NOISE"):  # recordings of noise, which a project has or has not

        rule denoising:
            input: source("17_denoising"), table("decoded"), model(*SOUNDSTREAM_SPOKEN)
            output:
                table("denoising", "denoising_paired"), figure("denoising", "denoising_spectrograms"),
                notebook=f"{R}/17_denoising.ipynb",
            params: values=values("17_denoising")
            resources: **needs("17_denoising")
            log: f"{LOGS}/17_denoising.log"
            threads: threads_of("17_denoising")
            shell: run("17_denoising")


        OUTPUTS += rules.denoising.output
