# Another voice, same words: trained; what it hides from whom, and what it costs.

ANONYMIZERS = VALUES["grid"]["anonymizer"]
TRAINED += table(*(f"training-anonymizer-{content}" for content in ANONYMIZERS))


if not PUBLISHED:

    rule anonymizer_training:
        input: source("18_anonymizer_training", plots=False), table("corpus"), model("embedding")
        output:
            table("training-anonymizer-{content}", "perception-{content}"), figure("perception-{content}"),
            model("anonymizer-{content}"),
            notebook=f"{R}/18_anonymizer_training-{{content}}.ipynb",
        wildcard_constraints: content="own|recognized"
        params: values=values("18_anonymizer_training")
        resources: **needs("18_anonymizer_training")
        log: f"{LOGS}/18_anonymizer_training-{{content}}.log"
        shell: run("18_anonymizer_training", options="-p content {wildcards.content}")


if ANONYMIZERS:

    rule anonymization:
        input:
            source("19_anonymization"), table("corpus"), model("embedding"),
            model(*(f"anonymizer-{content}" for content in ANONYMIZERS if not values("19_anonymization").get("first"))),
        output:
            table("privacy", "privacy_distinctiveness", "anonymity"), figure("privacy", "anonymity"),
            notebook=f"{R}/19_anonymization.ipynb",
        params: values=values("19_anonymization")
        resources: **needs("19_anonymization")
        log: f"{LOGS}/19_anonymization.log"
        threads: threads_of("19_anonymization")
        shell: run("19_anonymization")


    OUTPUTS += rules.anonymization.output
