"""What TensorFlow's kernels, executor and loader say: templates as `infraval.redaction.slots` describes them.

The feature, variable, table or op is named; what a request can steer (an index, a requested size, an example's name) is
a `$value` even where it is a number, and the bound it missed, which is the model's, is shown.
"""

MESSAGES = (
    # tensorflow/core/util/example_proto_fast_parsing.cc, example_proto_helper.cc: the feature is named, not its values
    "Could not parse example input, value: $value",
    "Could not parse example input$value",
    "Name: $unknown, Feature: $name (data type: $dtype) is required but could not be found.",
    "Name: $unknown, Feature: $name is required but could not be found.",
    "Name: $unknown, Key: $name, Index: $number.  Data types don't match. Data type: $dtype but expected type: $dtype",
    "Name: $unknown, Key: $name, Index: $number.  Data types don't match. Expected type: $dtype, Actual type: $dtype",
    (
        "Name: $unknown, Key: $name, Index: $number.  Number of $dtype values != expected.  "
        "Values size: $number but output shape: $shape"
    ),
    (
        "Name: $unknown, Key: $name, Index: $number.  Number of $dtype values is not a multiple of stride length. "
        "Saw $number values but output shape is: $shape"
    ),
    "Name: $unknown, Key: $name, Index: $number.  Can't parse serialized Example.",
    "Name: $unknown, Key: $name, Index: $number.  $value",
    "Name: $unknown, Feature list '$name' is required but could not be found.$value",
    "Feature: $name (data type: $dtype) is required but could not be found.",
    "Key: $name.  Data types don't match. Data type: $dtype but expected type: $dtype",
    "Key: $name.  Data types don't match. Expected type: $dtype, Data type: $dtype",
    "Key: $name.  Data types don't match. Expected type: $dtype, Actual type: $dtype",
    "Key: $name.  Can't parse serialized Example.",
    "Key: $name.  Number of $dtype values != expected.  Values size: $number but output shape: $shape",
    "Key: $name.  $value",
    "Inconsistent max number of elements for feature $name: expected $number, but found $number",
    # tensorflow/core/kernels: decoding and strings
    "StringToNumberOp could not correctly convert string: $value",
    "Unknown image file format. One of JPEG, PNG, GIF, BMP required.",
    "Unknown image file format. One of JPEG, PNG, GIF, BMP, WebP required.",
    "Invalid PNG data, size $number",
    "Invalid JPEG data or crop window, data size $number",
    "Invalid JPEG data, size $number",
    "Invalid GIF data (size $number), $value",
    "Invalid PNG$value",
    "Invalid JPEG$value",
    "Invalid character found in base64.",
    "Input to DecodeRaw has length $number that is not a multiple of $number, the size of $dtype",
    "DecodeRaw requires input strings to all be the same size, but element $number has size $number != $number",
    "Error while parsing JSON: $value",
    "Expect $number fields but have $number in record $number",
    "Field $number in record $number is not a valid $dtype: $value",
    "Field $number is required but missing in record $number!",
    "Unable to parse tensor proto",
    "Could not parse `serialized` as TensorProto$value",
    "Type mismatch between parsed tensor ($dtype) and dtype ($dtype)",
    "inflate() failed with error $number: incorrect header check",
    "inflate() failed with error $value",
    "Header mismatch: Expected $value",
    "pos $value out of range for string$value",
    "Invalid pattern: $value",
    "Invalid formatting on input string",
    # tensorflow/core/kernels: shapes of what was multiplied, joined or broadcast
    "Matrix size-incompatible: In[$number]: $shape, In[$number]: $shape",
    "Matrix size-incompatible: In[$number]: $shape, In[$number]: $shape $number $number",
    "In[$number] ndims must be >= $number",
    "In[$number] ndims must be >= $number: $number",
    "In[$number] is not a matrix. Instead it has shape $shape",
    "In[$number] and In[$number] must have compatible batch dimensions: $shape vs. $shape",
    "Incompatible shapes: $shape vs. $shape",
    "required broadcastable shapes",
    "ConcatOp : Dimension $number in both shapes must be equal: shape[$number] = $shape vs. shape[$number] = $shape",
    "ConcatOp : Ranks of all input tensors should match: shape[$number] = $shape vs. shape[$number] = $shape",
    "ConcatOp : Expected concatenating dimensions in the range [$number, $number), but got $value",
    "Shapes of all inputs must match: values[$number].shape = $shape != values[$number].shape = $shape",
    "input depth must be evenly divisible by filter depth: $number vs $number",
    "input must be 4-dimensional$value",
    "Must provide as many biases as the last dimension of the input tensor: $shape vs. $shape",
    "logits and labels must be broadcastable: logits_size=$shape labels_size=$shape",
    "condition $shape, then $shape, and else $shape must be broadcastable",
    (
        "Inputs to operation $name of type $name must have the same size and shape.  "
        "Input $number: $shape != input $number: $shape"
    ),
    "Expected dimension $number at axis $number of the input shaped $shape but got dimension $number",
    "Shape of tensor $name $shape is not compatible with expected shape $shape.",
    "The first dimension of paddings must be the rank of inputs$value",
    "Can not squeeze dim[$number], expected a dimension of 1, got $number",
    "Computed output size would be negative: $value",
    "output dimensions must be positive",
    "Tensor must be $number-D, got shape $shape",
    # tensorflow/core/kernels: values out of bounds; the bound is the model's, the value the request's
    "Input to reshape is a tensor with $number values, but the requested shape has $value",
    "Input to reshape is a tensor with $number values, but the requested shape requires a multiple of $value",
    "Input to reshape is a tensor with $number dense values, but the requested shape has $value",
    "indices = $value is not in [$number, $number)",
    "indices[$value] = $value is not in [$number, $number)",
    "indices[$value] = $value does not index into param shape $shape, node name: $name",
    "indices[$value] = $value does not index into shape $shape",
    "indices[$value] = $value is out of bounds: need 0 <= index < $shape",
    "indices[$value] is out of range",
    "Bad: indices[$value] == $value out of range [$number, $number)",
    "segment_ids[$value] = $value is out of range [$number, $number)",
    "segment ids are not increasing",
    "segment ids must be >= 0",
    "partitions[$value] = $value is not in [$number, $number)",
    "Expected begin[$number] in [$number, $number], but got $value",
    "Expected size[$number] in [$number, $number], but got $value",
    "slice index $value of dimension $number out of bounds.",
    "Expected dimension in the range [$number, $number), but got $value",
    "Tried to expand dim index $value for tensor with $number dimensions.",
    "input must have at least k columns. Had $number, needed $value",
    (
        "Determined shape must either match input shape along split_dim exactly if fully specified, or be less than "
        "the size of the input along split_dim if not fully specified.  Got: $value"
    ),
    "Requires start <= limit when delta > 0: $value",
    "Requires start >= limit when delta < 0: $value",
    "Paddings must be non-negative: $value",
    "Dimension $value must be >= 0",
    "Shape $value would have more than 2**63 - 1 elements",
    "Received a label value of $value which is outside the valid range of [$number, $number).  Label values: $value",
    "box_index has values outside [0, batch_size)",
    "index is out of bound as with dims",
    "size ($value) must be non-negative",
    "$value is out of range [$number .. $number)",
    "Integer division by zero",
    "Input is not invertible.",
    "Input matrix is not invertible.",
    "$name : Tensor had NaN values",
    "$name : Tensor had Inf values",
    "$name : Tensor had Inf and NaN values",
    "assertion failed: $value",
    # tensorflow/core/kernels, grappler: variables, tables, files, ops that are not there
    (
        "Could not find variable $name. This could mean that the variable has been deleted. In TF1, it can also mean "
        "the variable is uninitialized. Debug info: container=localhost, status error message=$message"
    ),
    "Could not find variable $name. This could mean that the variable has been deleted. $value",
    (
        "Error while reading resource variable $name from Container: localhost. This could mean that the variable was "
        "uninitialized. $message"
    ),
    "Resource localhost/$name/N10tensorflow3VarE does not exist.",
    "Resource localhost/$name/$value does not exist.",
    "Container localhost does not exist. (Could not find resource: localhost/$name)",
    "Attempting to use uninitialized value $name",
    "Table not initialized.",
    "Table $name is not initialized.",
    "HashTable has different value for same key. $value",
    "$path; No such file or directory",
    "$path; Permission denied",
    "Failed to find any matching files for $path",
    "Unsuccessful TensorSliceReader constructor: Failed to find any matching files for $path",
    "Unsuccessful TensorSliceReader constructor: Failed to get matching files on $path: $message",
    'Tensor name "$name" not found in checkpoint files $path',
    "Key $name not found in checkpoint",
    "NewRandomAccessFile failed to Create/Open: $path$value",
    "Could not find SavedModel .pb or .pbtxt at supplied export directory path: $path$value",
    "Could not find meta graph def matching supplied tags: { $names }. $value",
    "Can't parse $path as binary proto",
    (
        "Op type not registered '$name' in binary running on $value. Make sure the Op and Kernel are registered in the "
        "binary running in this process.$value"
    ),
    "No OpKernel was registered to support Op '$name' used by {{node $name}} with these attrs: $value",
    "No OpKernel was registered to support Op '$name' with these attrs$value",
    "NodeDef mentions attr '$name' not in Op<name=$name; $value",
    "Input $number of node $name was passed $dtype from $name incompatible with expected $dtype.",
    "OOM when allocating tensor with shape$shape and type $dtype on $value",
    "You must feed a value for placeholder tensor '$name' with dtype $dtype and shape $shape",
    "You must feed a value for placeholder tensor '$name' with dtype $dtype",
    "Tensor $name, specified in either feed_devices or fetch_devices was not found in the Graph",
    # tensorflow/core/common_runtime/process_function_library_runtime.cc, tsl status.cc: several failures in one
    "$number root error(s) found.\n$messages",
    "($number) $message",
)
