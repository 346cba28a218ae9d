"""What TF Serving, gRPC and a start-up log say: templates as `infraval.redaction.slots` describes them."""

MESSAGES = (
    # tensorflow_serving/servables/tensorflow: predict_util.cc, util.cc, classifier.cc, regressor.cc, multi_inference.cc
    'Serving signature key "$name" not found.',
    "No signature was found with the name: $name",
    "Requested signature not found in model graph: $name",
    "Duplicate evaluation of signature: $name",
    "Unsupported signature method_name: $name",
    (
        "Signature input alias: $name(feed name: $name) not found in request and no default value provided. "
        "Inputs expected to be in the request {$names}, or default input alias set: $names"
    ),
    (
        "input size does not match signature: $number!=$number len({$names}) != len({$names}). "
        "Sent extra: {$names}. Missing but required: {$names}."
    ),
    "output tensor alias not found in signature: $name Outputs expected to be in the set {$names}.",
    "duplicate output tensor alias: $name",
    "Expects arg[$number] to be $dtype but $dtype is provided",
    "Input is empty.",
    "Expected one input Tensor.",
    "Expected one output Tensor.",
    "Expected at most one output Tensor.",
    "No classification inputs found in SignatureDef: $value",
    "No regression inputs found in SignatureDef: $value",
    'Expected classification signature outputs to contain at least one of "classes" or "scores". Signature was: $value',
    "Expected classification signature outputs to contain $value",
    "Expected regression signature outputs to contain $value",
    "Expected regression output to contain '$name' or '$name'. Signature was: $value",
    "Expected input Tensor shape $value",
    "Expected Tensor shape: [$value",
    "Input batch size did not match output batch size: $value",
    "All ModelSpecs in a MultiInferenceRequest must access the same model name.",
    "Tensor name: $name has no shape information ",
    # tensorflow_serving/core, model_servers: manager.h, server_core.cc, get_model_status_impl.cc
    "Servable not found for request: Latest($name)",
    "Servable not found for request: Specific($name, $measure)",
    "Unrecognized servable version label: $name",
    "Missing ModelSpec",
    "ModelSpec has no name specified.",
    "Could not find any versions of model $name",
    "Could not find version $measure of model $name",
    "GetModelMetadataRequest must specify at least one metadata_field",
    "Metadata field $name is not supported",
    "Metadata field $value is not supported",
    "$number servable(s) did not become available: {{{name: $name version: $measure} due to error: $message}, }",
    "server_options.batching_parameters_file is set without setting server_options.enable_batching to true.",
    "Invalid protobuf file: '$path'",
    # tensorflow_serving/servables/tensorflow/saved_model_warmup_util.cc and tensorflow/core/lib/io/record_reader.cc
    "Failed to parse warmup record: $value",
    "Number of warmup records exceeds the maximum ($number) at $path",
    "Unsupported log_type for warmup: $number",
    (
        "truncated record at $measure' failed with Read less bytes than requested. "
        "Please verify your warmup data is in TFRecord format."
    ),
    "truncated record at $measure. Please verify your warmup data is in TFRecord format.",
    (
        "corrupted record at $measure (Is this even a TFRecord file?). "
        "Please verify your warmup data is in TFRecord format."
    ),
    "corrupted record at $measure. Please verify your warmup data is in TFRecord format.",
    # tensorflow/core/kernels/batching_util and tensorflow_serving/batching
    "Last entry in allowed_batch_sizes must match max_batch_size; last entry was $number; expected $number",
    "Task size $number is larger than maximum input batch size $number",
    "Task size $number is larger than maximum batch size $number",
    "The batch scheduling queue to which this task was submitted is full",
    (
        "The batch scheduling queue to which this task was submitted is full; task size is $number but scheduling "
        "capacity is only $number (num_enqueued_batches=$number, max_enqueued_batches=$number, "
        "open_batch_size=$number, max_execution_batch_size=$number)"
    ),
    "The batch scheduling queue to which this task was submitted is full; $value",
    "Batching session Run() input tensors must have equal 0th-dimension size",
    "Batching session Run() input tensors must have at least one dimension",
    "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the input tensors",
    # gRPC core, as a client sees a server that is gone, late or overloaded
    "Deadline Exceeded",
    "Connection reset by peer",
    "Connection refused",
    "Socket closed",
    "Cancelled",
    "Channel closed!",
    "Server Threadpool Exhausted",
    "Too many pings",
    "Broken pipe",
    "empty address list: $value",
    "failed to connect to all addresses",
    "failed to connect to all addresses; last error: UNKNOWN: $value: Failed to connect to remote host: $message",
    "failed to connect to all addresses; last error: UNAVAILABLE: $value: Failed to connect to remote host: $message",
    "failed to connect to all addresses; last error: $value",
    "No such file or directory",
    "Received message larger than max ($measure vs. $measure)",
    "CLIENT: Received message larger than max ($measure vs. $measure)",
    "SERVER: Received message larger than max ($measure vs. $measure)",
    "Sent message larger than max ($measure vs. $measure)",
    "CLIENT: Sent message larger than max ($measure vs. $measure)",
    "Exception calling application: $value",
    "Exception serializing request!",
    "Exception deserializing response!",
    "Method not found!",
)

LOG_LINES = (
    # tensorflow_serving/core, util: loader_harness.cc, retrier.cc, basic_manager.cc, aspired_versions_manager.cc
    "Retrying of Reserving resources for servable: {name: $name version: $measure} exhausted max_num_retries: $number",
    "Retrying of Loading servable: {name: $name version: $measure} exhausted max_num_retries: $number",
    "Successfully reserved resources to load servable {name: $name version: $measure}",
    "Approving load for servable version {name: $name version: $measure}",
    "Loading servable version {name: $name version: $measure}",
    "Successfully loaded servable version {name: $name version: $measure}",
    "Loading servable: {name: $name version: $measure} failed: $message",
    "Encountered an error for servable version {name: $name version: $measure}: $message",
    "Servable {name: $name version: $measure} cannot be loaded: $message",
    "Quiescing servable version {name: $name version: $measure}",
    "Done quiescing servable version {name: $name version: $measure}",
    "Unloading servable version {name: $name version: $measure}",
    "Done unloading servable version {name: $name version: $measure}",
    "Unload all remaining servables in the manager.",
    # tensorflow_serving/model_servers, sources: server.cc, server_core.cc, file_system_storage_path_source.cc
    "Failed to start server. Error: $message",
    "Building single TensorFlow model file config:  model_name: $name model_base_path: $path",
    "Adding/updating models.",
    "(Re-)adding model: $name",
    (
        "No versions of servable $name found under base path $path. "
        "Did you forget to name your leaf directory as a number (eg. '/1/')?"
    ),
    (
        "FileSystemStoragePathSource encountered a filesystem access error: "
        "Could not find base path $path for servable $name with error $message"
    ),
    "Using InsecureServerCredentials",
    "Profiler service is enabled",
    "Running gRPC ModelServer at $value",
    "Exporting HTTP/REST API at:$value",
    "A bug of the embedded server: $value",
    "[warn] getaddrinfo: address family for nodename not supported",
    "unknown argument: $value",
    "usage: tensorflow_model_server",
    (
        "[libprotobuf ERROR $value] Error parsing text-format tensorflow.serving.BatchingParameters: "
        "$number:$number: $value"
    ),
    # tensorflow_serving/servables/tensorflow: saved_model_warmup_util.cc, bundle_factory_util.cc
    "No warmup data file found at $path",
    "Starting to read warmup data for model at $path with model-warmup-options $value",
    (
        "Finished reading warmup data for model at $path. Number of warmup records read: $number. "
        "Elapsed time (microseconds): $measure."
    ),
    "Wrapping session to perform batch processing",
    # tensorflow/cc/saved_model: loader.cc, reader.cc
    "Reading SavedModel from: $path",
    "Reading meta graph with tags { $names }",
    "Reading SavedModel debug info (if present) from: $path",
    "Restoring SavedModel bundle.",
    "Running initialization op on SavedModel bundle at path: $path",
    "The specified SavedModel has no variables; no checkpoints were restored. File does not exist: $path",
    "SavedModel load for tags { $names }; Status: success: OK. Took $measure microseconds.",
    "SavedModel load for tags { $names }; Status: fail: $message. Took $measure microseconds.",
    # tensorflow/core, compiler, tsl: what every start prints, and errors as they happen
    (
        "oneDNN custom operations are on. You may see slightly different numerical results due to floating-point "
        "round-off errors from different computation orders. To turn them off, set the environment variable "
        "`TF_ENABLE_ONEDNN_OPTS=0`."
    ),
    "This TensorFlow binary is optimized to use available CPU instructions in performance-critical operations.",
    "Could not find cuda drivers on your machine, GPU will not be used.",
    "MLIR V1 optimization pass is not enabled",
    "OP_REQUIRES failed at $value : $message",
    "Local rendezvous is aborting with status: $message",
    (
        "[/device:CPU:0] (DEBUG INFO) Executor start aborting (this does not indicate an error and you can ignore this "
        "message): $message"
    ),
    "Check failed: index >= 0 && index < num_total_dims Invalid index from the dimension: $number, $number, C",
    "Check failed: $value",
    "terminate called after throwing an instance of 'std::bad_alloc'",
    "Segmentation fault",
    # CPython
    "Traceback (most recent call last):",
    "During handling of the above exception, another exception occurred:",
    "The above exception was the direct cause of the following exception:",
)
