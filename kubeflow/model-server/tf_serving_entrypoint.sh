#!/bin/sh
# Serves ${MODEL_BASE_PATH}/${MODEL_NAME}/<version>; of a flag that is given twice, the server takes the later one.
exec tensorflow_model_server --port=8500 --rest_api_port=8501 \
  --model_name="${MODEL_NAME}" --model_base_path="${MODEL_BASE_PATH}/${MODEL_NAME}" "$@"
