# Everything side by side, from what the other notebooks have decoded and rated.

COMPARED = VALUES["grid"] | values("23_comparison")
AGAIN = [  # second trainings, whose weights are read
    decoder.name for decoder in grid.framewise(COMPARED) + grid.soundstream(COMPARED) if decoder.repeat
]


rule comparison:
    input:
        source("23_comparison"), rules.objective.output, rules.complexity.output, DECODED, model(*AGAIN),
        rules.semantic.output if SEMANTIC else [],
        model(
            *(f"anonymizer-{content}" for content in COMPARED["anonymizer"] if not COMPARED.get("first"))
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
