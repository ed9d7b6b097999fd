;; The far memory: a second one beside that of the portable component, with 64-bit addresses. Nothing computes on it, as bounds of
;; 64-bit addresses are checked one by one; what is needed is copied.
(module
  (import "env" "memory" (memory $near 0))
  (memory $far i64 0)

  ;; Pages of 64 KiB more. Returns how many there were, or -1.
  (func (export "grow") (param $pages i64) (result i64)
    (memory.grow $far (local.get $pages)))

  (func (export "store") (param $to i64) (param $from i32) (param $length i32)
    (memory.copy $far $near (local.get $to) (local.get $from) (local.get $length)))

  (func (export "load") (param $to i32) (param $from i64) (param $length i32)
    (memory.copy $near $far (local.get $to) (local.get $from) (local.get $length))))
