from snakemake.exceptions import WorkflowError

from activation_study.dependencies import sources
from activation_study import progress
from activation_study.errors import StudyError
from activation_study.study import Study


configfile: "config.yaml"


try:
    STUDY = Study.from_config(config)
except StudyError as error:
    raise WorkflowError(str(error)) from None


onstart:
    progress.plan(STUDY)
