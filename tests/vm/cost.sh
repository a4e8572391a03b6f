#!/bin/bash
cd /vm/cost; nproc; time ./cost $(cat objs);  LOUD=1 ./cost process.o 2>&1 | head -300 > /vm/out/loud
