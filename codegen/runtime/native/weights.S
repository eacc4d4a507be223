/* The constants, page-aligned so that the kernel maps them lazily and shares them. */
.section .weights,"a",%progbits
.balign 4096
.globl weights_start
.hidden weights_start
weights_start:
.incbin "weights.bin"
.byte 0
.section .note.GNU-stack,"",%progbits
