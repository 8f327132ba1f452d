// Programs of the testbed itself; they need the standard library only.
module iotorch.dev/testbed/parts

go 1.26.0
