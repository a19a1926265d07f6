# Everything side by side, from what the other notebooks have decoded and rated.

AGAIN = [
    decoder.name
    for planned in (
        grid.framewise(VALUES["grid"] | {"framewise_C": values("23_comparison")["framewise_C"]}),
        grid.soundstream(VALUES["grid"] | {"soundstream_C": values("23_comparison")["soundstream_C"]}),
    )
    for decoder in planned
    if decoder.repeat
]  # second trainings, whose weights are read


rule comparison:
    input:
        source("23_comparison"), rules.objective.output, rules.complexity.output, DECODED, model(*AGAIN),
        rules.semantic.output if SEMANTIC else [],
        model(
            *(f"anonymizer-{content}" for content in values("23_comparison")["anonymizer"]
              if not values("23_comparison").get("first"))
        ),
    output:
        table("comparison", "claims"), figure("comparison_rate", "comparison_cost", "claims"),
        f"{F}/comparison_listen.html", f"{F}/families_test/index.html", notebook=f"{R}/23_comparison.ipynb",
    params: values=values("23_comparison")
    log: f"{LOGS}/23_comparison.log"
    resources: **needs("23_comparison")
    threads: threads_of("23_comparison")
    shell: run("23_comparison")


OUTPUTS += rules.comparison.output
