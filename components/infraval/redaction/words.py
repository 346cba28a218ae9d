"""Words that a server says by itself, so that they may be shown although a request holds them too."""

WORDS = frozenset(
    """
    a about above actual add adding address after alias all allocate allocated allocating allocation allocator allowed
    already also an and another any are arg args argument arguments array as asked assertion asset assets assign at
    attempt attempting attr attribute available axis bad base batch batches batching be because become been before begin
    being below between bmp bool both bound bounds broadcast buffer but by bytes call called calling can cancelled
    cannot cast cause channel channels check checkpoint class classes client closed columns compatible computation
    compute condition config connect connection constant contain container contains convert copy core corrupt corrupted
    could count cpu create created creating crop cuda data deadline debug decode decoding default defined delete deleted
    denied dense depth device devices did different dim dimension dimensions dims directory disabled divide division do
    does doesn don double dtype due duplicate during each either element elements empty enable enabled end entry equal
    error errors even exactly example examples exceeded exception executor exhausted exist exists expect expected
    expects export extra fail failed failing failure feature features fed feed fetch fetched field fields file files
    filter find first flag float flush following for format found from full function functions get gif given got gpu
    graph greater grpc had half handle has have header hint host id if image images in incompatible inconsistent
    incorrect index indices inference inferred info initialize initialized initializer inner input inputs instance
    instead instruction int integer internal into invalid is it its jpeg kernel key keys kind label labels large larger
    last layer least len length less limit line list load loaded loading local log logits lookup loop loss lost machine
    main make map match matching matmul matrix max maximum may mean memory message messages metadata method min minimum
    mismatch missing model models module more most multiple must name named names nan need needed never no node nodes
    non none not null number numbers object of off offset on once one only oom op open operand operation operator ops
    option or order other out output outputs padding param parameter parameters parse parsed parsing part partition pass
    passed path permission place please png point port position possible precondition process protobuf provide provided
    python queue raise range rank read reading reason record records redacted reduce refused registered remote request
    requested requests require required requires reserved reset reshape resource resources restore restoring result
    results return returned root row run running runtime same saved scalar score scores see segment sent sequence
    serialized serve server service serving session set shape shapes should signature size sizes slice small socket some
    sparse specified split stack start state status step stored str stride string strings such support supported table
    tag tags take tensor tensorflow tensors than that the them then there this thread threads time timeout to token too
    trace traceback trailing train true truncated try tuple type types unable unavailable undefined unexpected
    unimplemented uninitialized unknown unregistered unsupported up use used using valid validate value values variable
    variables vector version wait warmup warning was webp were what when where which while will window with within
    without word work would write written wrong xla you your zero
    """.split()  # noqa: SIM905 - one word a line would be five hundred lines
)
