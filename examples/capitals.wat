;; A plugin of another kind for `plugin_host`: the world `filter`, which makes a text from a text. This one writes it in capitals.
(component
  (core module $code
    (memory (export "memory") 1)

    ;; Room for the one text that is there at a time: all of the memory but its first 8 bytes.
    (func (export "realloc") (param i32 i32 i32) (param $length i32) (result i32)
      (if (i32.gt_u (local.get $length) (i32.const 65528)) (then unreachable))
      (i32.const 8))

    ;; Change the text where it is. The result is where the address and the length of a text stand.
    (func (export "filter") (param $text i32) (param $length i32) (result i32)
      (local $at i32)
      (local $end i32)
      (i32.store (i32.const 0) (local.get $text))
      (i32.store (i32.const 4) (local.get $length))
      (local.set $at (local.get $text))
      (local.set $end (i32.add (local.get $text) (local.get $length)))
      (block $done
        (loop $next
          (br_if $done (i32.eq (local.get $at) (local.get $end)))
          ;; Bytes from `a` to `z`.
          (if (i32.lt_u (i32.sub (i32.load8_u (local.get $at)) (i32.const 97)) (i32.const 26))
            (then (i32.store8 (local.get $at) (i32.sub (i32.load8_u (local.get $at)) (i32.const 32)))))
          (local.set $at (i32.add (local.get $at) (i32.const 1)))
          (br $next)))
      (i32.const 0)))

  (core instance $it (instantiate $code))
  (func (export "filter") (param "text" string) (result string)
    (canon lift (core func $it "filter") (memory $it "memory") (realloc (func $it "realloc")))))
